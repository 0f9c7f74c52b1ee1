"""Which networks a page offers, and the range of their settings."""

from typing import Any

from segmodels import Card
from segmodels.inference.settings import RATE_RANGE, Settings, check_integer
from segmodels.labels import VOC
from segmodels.models import registry
from segmodels.models.torchvision import DOWNLOADS

from ...server.settings import applicable_settings

SOURCES = (
    ("Bundled", "bundled"),
    ("torchvision's (44 to 245 MB)", "published"),
)


def settings_in_range(card: Card, rate: Any, stride: Any) -> Settings:
    """What the network of ``card`` runs at on the page; a rate or a stride that it does not have is left out.

    Raises:
        ValueError: with a sentence, for a setting that the page does not offer.
    """
    if card.atrous_rate is not None and rate is not None:
        check_integer("the atrous rate", rate, *RATE_RANGE)
    return applicable_settings(card, rate, stride)


def choices(source: str) -> list[tuple[str, str]]:
    """The networks with weights from ``source``, ``"bundled"`` or ``"published"``: titles, with what has to be fetched.

    Those that know other classes than Pascal VOC's come last.
    """
    offered = [card for card in registry.CARDS.values() if _comes_from(card, source)]
    return [(_offered(card), card.name) for card in sorted(offered, key=lambda card: card.class_list != VOC)]


def _comes_from(card: Card, source: str) -> bool:
    return card.source == source or (card.source == "own" and source == "bundled")


def _offered(card: Card) -> str:
    if not card.at_hand:
        return f"{card.title} ({DOWNLOADS[card.name].megabytes:.0f} MB)"
    return card.title if card.class_list == VOC else f"{card.title}, {len(card.classes)} classes"
