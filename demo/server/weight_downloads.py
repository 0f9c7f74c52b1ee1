"""Published weights on their way to this machine: what the page shows meanwhile, and what became of it.

They are fetched where a visitor chooses the network, and nowhere else: whatever runs it afterwards finds them at hand, or
says why they are not, without asking the server a second time.
"""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

import gradio as gr

from segmodels import Card
from segmodels.checkpoints.download import CacheError, FetchError, Progress

from . import timeouts

LOG = logging.getLogger(__name__)
AGAIN_SECONDS = 5
"""How long after a failure the page does not ask the server again: gradio may report one choice twice."""


@dataclass(frozen=True)
class _Failure:
    """Why weights could not be fetched when that was tried last."""

    sentence: str
    when: float = field(default_factory=time.monotonic)


_failures: dict[str, _Failure] = {}
"""By the network's name."""


def fetch_chosen(card: Card, progress: gr.Progress) -> None:
    """Fetch the weights of the network that a visitor chose, with a bar on the page.

    What goes wrong is said by ``check_at_hand``, where the result would be.
    """
    failure = _failures.get(card.name)
    if failure and time.monotonic() - failure.when < AGAIN_SECONDS:
        return

    def show(done: int, total: int | None) -> None:
        progress(
            (_megabytes(done), None if total is None else _megabytes(total)),
            desc=f"Fetching {described(card)}",
            unit="MB",
        )

    with suppress(ValueError):
        fetch(card, show)


def fetch(card: Card, progress: Progress = lambda done, total: None) -> None:
    """Fetch the weights of ``card``; does nothing if they are at hand or there are none.

    Raises:
        ValueError: if they cannot be fetched, with a sentence that says what a visitor can do; ``check_at_hand`` then says
            the same. What the page's owner can do is logged.
    """
    if not card.trained or card.at_hand:
        return
    _failures.pop(card.name, None)

    def arrived(done: int, total: int | None) -> None:
        timeouts.check(timeouts.FETCH_SECONDS)
        progress(done, total)

    try:
        card.weights_file(arrived)
    except FetchError as error:
        LOG.warning("%s", error)
        said = _for_visitors(card, error.__cause__)
        _failures[card.name] = _Failure(said)
        raise ValueError(said) from error
    except timeouts.Left:
        raise
    except ValueError as error:
        _failures[card.name] = _Failure(str(error))
        raise


def _for_visitors(card: Card, why: BaseException | None) -> str:
    """Why weights cannot be fetched, and what to do without the keys to the server."""
    reason = "this page has no room for them" if why is None or isinstance(why, CacheError) else str(why)
    return (
        f"{described(card)} cannot be fetched now: {reason}; choose a network bundled with this page, which needs none"
    )


def check_at_hand(card: Card) -> None:
    """Go on only if the weights of ``card`` need not be fetched.

    Raises:
        ValueError: if they have to, with a sentence: that of ``fetch`` if it was tried in vain.
    """
    if not card.trained or card.at_hand:
        return
    if failure := _failures.get(card.name):
        raise ValueError(failure.sentence)
    raise ValueError(f"{described(card)} are on their way; the photo is segmented as soon as they are here")


def described(card: Card) -> str:
    """The weights of a network that torchvision publishes, with the size of the download."""
    return f"the weights of {card.title} ({card.measured['megabytes']:.0f} MB)"


def _megabytes(size: int) -> int:
    return round(size / 1e6)
