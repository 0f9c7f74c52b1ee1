"""All that is known of a network, for programs: its card and what it costs."""

from functools import cache
from typing import Any

from ..inference.sizes import network_input_size
from ..models import registry
from ..models.base import configure
from ..models.card import Card
from .cost import Cost, count


def facts(card: Card) -> dict[str, Any]:
    """A card as JSON, with the parameters and the multiply-accumulates at the working size (4:3, landscape)."""
    cost = network_cost(card.name)
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "trained": card.trained,
        "source": card.source,
        "classes": list(card.classes),
        "atrous_rate": card.atrous_rate,
        "output_stride": card.output_stride,
        "working_size": card.working_size,
        "short_side": card.short_side,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "scores": card.measured.get("scores"),
        "training": card.measured.get("training"),
        "url": card.measured.get("url"),
        "megabytes": card.measured.get("megabytes"),
        "licence": card.measured.get("licence"),
        "limits": card.measured.get("limits"),
    }


@cache
def network_cost(name: str) -> Cost:
    """What the network called ``name`` costs on a landscape 4:3 photo at its working size, set as it was trained."""
    card, network = registry.card(name), registry.build_meta(name)
    configure(network, card.atrous_rate, card.output_stride)
    width, height = counted_at(name)
    return count(network, height, width)


def counted_at(name: str) -> tuple[int, int]:
    """The (width, height) at which the network called ``name`` sees a landscape 4:3 photo."""
    card = registry.card(name)
    size = card.working_size if card.microscopy else None  # which else goes by the picture
    return network_input_size(card, registry.build_meta(name).align_corners, (4, 3), size)
