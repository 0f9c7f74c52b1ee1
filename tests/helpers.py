"""What several test files do to networks and to the page."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request


def randomise_norms(module: nn.Module) -> None:
    """Give every batch norm statistics that matter."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)


def interior(x: Tensor, border: int) -> Tensor:
    """``x`` without ``border`` cells on every side."""
    return x[..., border:-border, border:-border]


def parameters(module: nn.Module) -> int:
    """How many numbers there are to learn."""
    return sum(parameter.numel() for parameter in module.parameters())


def parameters_used(network: nn.Module) -> int:
    """Those that a segmentation asks; the classifiers of U-Net's earlier blocks are for training."""
    sides = getattr(network.decoder, "sides", None)
    return parameters(network) - (parameters(sides) if isinstance(sides, nn.Module) else 0)


START = "?photo=cat&model=deeplabv3plus_mobilenetv2&rate=6&stride=16&tab=segment"
"""The cat at the settings with which the page opens."""


@contextmanager
def watched(
    browser: "Browser", width: int = 1400, height: int = 1000, **options: Any
) -> "Iterator[tuple[Page, list[str]]]":
    """A patient page that is closed afterwards, and what its scripts stumbled over."""
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page, errors
    page.close()


@contextmanager
def unharmed(errors: list[str]) -> Iterator[None]:
    """Nothing goes wrong on a page meanwhile; what did is not told again by the next test."""
    yield
    found = list(errors)
    errors.clear()
    assert found == [], found


def load(page: "Page", address: str) -> None:
    """Open an address, and wait until its photo is segmented."""
    page.goto(address)
    page.wait_for_selector("#pictures [data-drawn]")


GO = """query => {
  history.pushState(null, '', query);
  dispatchEvent(new PopStateEvent('popstate'));
}"""
ARRIVED = """query => {
  const link = new URLSearchParams(document.querySelector('#link a').search);
  return [...new URLSearchParams(query)].every(([name, value]) => link.get(name) === value);
}"""


def go(page: "Page", query: str) -> None:
    """Bring a page to another of its addresses, as the browser's Back does: nothing is loaded anew, which is slow.

    The page must have come to rest. It has arrived when the event that applies an address is over, which the page's
    next request tells, and when its own link says what ``query`` says; what is there may still have to be computed.
    """
    with page.expect_request(_names_the_network):
        page.evaluate(GO, query)
    page.wait_for_function(ARRIVED, arg=query)


def _names_the_network(request: "Request") -> bool:
    """Whether the page asks, past the queue, which network can run: what it does after a load and after a step back."""
    data = (request.post_data_json or {}).get("data", []) if "/run/" in request.url else []
    return len(data) == 1 and isinstance(data[0], str)


def saved_as_seen(figure: "Locator", part: "Locator", folder: Path) -> str:
    """Save a figure by its button and compare a part of it with a picture of the page; returns the file's name."""
    with figure.page.expect_download() as download:
        figure.get_by_role("button", name="Save as PNG").click()
    download.value.save_as(folder / "saved.png")
    part.screenshot(path=folder / "seen.png")
    box, inside = figure.bounding_box(), part.bounding_box()
    assert box
    assert inside
    saved, seen = (Image.open(folder / f"{name}.png").convert("RGB") for name in ("saved", "seen"))
    assert saved.width >= 1600
    scale = saved.width / (box["width"] + 32)  # an edge of 16 pixels on each side
    left, top = scale * (16 + inside["x"] - box["x"]), scale * (16 + inside["y"] - box["y"])
    coarse = (seen.width // 4, seen.height // 4)
    wanted = np.asarray(seen.resize(coarse), dtype=float)

    def difference(right: int, down: int) -> float:
        corner = left + scale * right, top + scale * down
        cut = saved.crop((*corner, corner[0] + scale * seen.width, corner[1] + scale * seen.height))
        return float(np.abs(np.asarray(cut.resize(coarse), dtype=float) - wanted).mean())

    # A part that begins within a pixel is seen from a whole one on, so a pixel to the side does not count.
    assert min(difference(right, down) for right in (-1, 0, 1) for down in (-1, 0, 1)) < 3
    assert np.asarray(seen).std() > 30  # there is something to see
    return download.value.suggested_filename


def at_once(visit: Callable[[int], None], visitors: int) -> None:
    """Call ``visit`` with each visitor's number, every one in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def asked(compute: Callable[..., Any], *values: Any, on_photo: bool = True) -> list[dict[str, Any]]:
    """Return the answers that a place of the page gets, step by step, as its browser asks for them."""
    from demo.components import computed  # here, because gradio takes seconds to import
    from demo.server.messages import error_message

    answers: list[dict[str, Any]] = []
    while not answers or answers[-1].get("more"):
        question = {"values": list(values), "step": len(answers)}
        try:
            answer = computed.answer(computed.with_step(compute), len(values), on_photo, question)
        except (ValueError, OSError) as error:
            answer = {"problem": error_message(error)}
        assert answer is not None
        answers.append(answer)
    return answers


def shown(compute: Callable[..., Any], *values: Any, on_photo: bool = True) -> dict[str, str]:
    """Return the HTML that stands in a place, ``""``, and in those beside it after the last answer; or the problem alone."""
    answers = asked(compute, *values, on_photo=on_photo)
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    if problems:
        return {"problem": problems[0]}
    return {name: html for answer in answers for name, html in answer["html"].items()}
