"""Lesson 10: a U-Net that began with trained weights beside one that began with random numbers."""

from collections.abc import Iterable
from html import escape
from typing import Any

from segmodels import Segmentation
from segmodels.labels import VOC
from segmodels.models import registry

from ..components import photo_overlay
from ..components.figures import PANEL, contents, figure, panel, rect, svg, text
from ..server import cache
from .lesson import Lesson, See, chosen, radio, small_photo

NETWORKS = {"trained": "unet_mobilenetv2", "random": "unet_width24"}
"""The network by what it started from, which is also what its bars are called."""
OWN = "each at its own size"
FACTS = ("mIoU-7: mean IoU of seven classes", "parameters", "multiply-accumulates", "crops since the start")
"""What there is a pair of bars for."""
LEFT, RIGHT, BAR, ROW = 76, 74, 16, 70
"""The drawing of the bars: the room for words on both sides of them, their height, and that of a pair with its heading."""


def sizes() -> dict[str, int | None]:
    """The working sizes to choose from; None is each network's own."""
    found = sorted({registry.card(name).working_size for name in NETWORKS.values()})
    return {OWN: None} | {f"both at {size} pixels": size for size in found}


def segmented(photo: str, working_size: int | None, size: tuple[int, int]) -> list[Segmentation]:
    """The photo at this path by both networks, the label maps at ``size`` (width, height)."""
    return _by(photo, NETWORKS.values(), working_size, size)


def _by(photo: str, names: Iterable[str], working_size: int | None, size: tuple[int, int]) -> list[Segmentation]:
    return [cache.segmenter(name).decode(cache.features(photo, name, None, working_size), size=size) for name in names]


def draw(photo: str, seen: Any) -> str:
    """The photo under both label maps, and what was measured of the two networks."""
    seen = chosen("the size at which the photo is seen", seen, tuple(sizes()))
    shown = small_photo(photo)
    results = segmented(photo, sizes()[seen], shown.size)
    first, second = (f"{width} × {height}" for width, height in (result.working_size for result in results))
    same = (results[0].labels == results[1].labels).mean()
    how = f"both see it at {first} pixels" if first == second else f"they see it at {first} and {second} pixels"
    panels = [_picture(result) for result in results]
    panels.append(panel("What the cards say", _bars(), "Each at its own size."))
    moved = "".join(_moved(photo, result) for result in results)
    words = f"On this photo they agree on <b>{same:.1%}</b> of the pixels; {how}{moved}"
    over = photo_overlay.photo_attributes(photo, cache.display(photo), VOC)
    name = f"lesson-trained-start-{results[0].working_size[0]}-{results[1].working_size[0]}"
    return figure(name, panels, words, over)


def _moved(photo: str, result: Segmentation) -> str:
    """How far an answer is from the one at the network's own size, if that is another."""
    height, width = result.labels.shape
    (own,) = _by(photo, (result.model,), None, (width, height))
    if own.working_size == result.working_size:
        return ""
    differs = (own.labels != result.labels).mean()
    name = registry.card(result.model).title
    return (
        f". {escape(name)} labels {differs:.1%} otherwise than at its own {own.working_size[0]} × {own.working_size[1]}"
    )


def _picture(result: Segmentation) -> str:
    card = registry.card(result.model)
    training = card.measured["training"]
    found = contents(result.labels, result.classes)
    drawn = photo_overlay.picture(f"The photo segmented by {card.title}: {found}", photo_overlay.layer(result.labels))
    crop = training["recipe"].get("crop")
    crops = f"crops of {crop} × {crop} pixels" if crop else "whole photos on a frozen backbone"
    note = f"{card.name} finds {found}. Started from {_start(training['start'])}; {crops}."
    return panel(escape(card.title), drawn, escape(note))


def _start(start: str) -> str:
    """What weights began as: a network of the zoo and what that had seen before, or anything else as the card says it."""
    if start not in registry.CARDS:
        return "random weights" if start == "random" else start
    *_, seen = registry.card(start).measured["training"]["summary"].split("; ")
    return f"{registry.card(start).title}, which had seen {seen}"


def facts(name: str) -> tuple[tuple[float, str], ...]:
    """What the card of a network says of each of ``FACTS``: a number, and how it is written."""
    measured = registry.card(name).measured
    miou7, crops = measured["scores"]["miou7"], measured["training"]["crops"]
    return (
        (miou7, f"{miou7:.3f}"),
        (measured["parameters"], f"{measured['parameters'] / 1e6:.2f} M"),
        (measured["macs"], f"{measured['macs'] / 1e9:.1f} G"),
        (crops, f"{crops:,}"),
    )


def _bars() -> str:
    """A pair of bars for each of ``FACTS``, the longer one of full length."""
    known = {start: facts(name) for start, name in NETWORKS.items()}
    parts, said = [], []
    for index, heading in enumerate(FACTS):
        top = index * ROW
        parts.append(text(PANEL / 2, top + 16, heading, "name"))
        most = max(values[index][0] for values in known.values())
        for place, (start, values) in enumerate(known.items()):
            value, written = values[index]
            y = top + 24 + place * (BAR + 4)
            length = (PANEL - LEFT - RIGHT) * value / most
            parts += [
                text(LEFT / 2, y + 13, start),
                rect(LEFT, y, length, BAR, f"bar {start.lower()}"),
                text(PANEL - RIGHT / 2, y + 13, written),
            ]
        said.append(f"{heading} {' against '.join(values[index][1] for values in known.values())}")
    return svg(len(FACTS) * ROW, f"Bars, {' against '.join(NETWORKS)}: {'; '.join(said)}", *parts)


LESSON = Lesson(
    name="Trained start",
    title="What a trained start is worth",
    minutes=4,
    aim="You can say what weights from ImageNet bring along.",
    text="""
The networks so far had first learned from more than a million photos. U-Net's authors began with **random numbers**, and so
does the second network, their own at 3/8 of its width.

It is no clean experiment: backbone, photo size and crops differ too.
""",
    question="Does it do worse because it sees the photo at another size?",
    choices=(
        "Hardly: the size is worth a small part",
        "Yes: at one size both are alike",
        "No: the size changes nothing",
    ),
    answer="""
Hardly. A U-Net with ImageNet's start had mIoU-7 0.683 at 256 pixels and 0.736 at 512: the size is worth five hundredths, and
the one from scratch has 0.311. A few thousand photos teach that a class ends where a colour does, hardly what makes a dog of it: a
trained start brings that along.
""",
    controls=lambda: [radio("The photo is seen", list(sizes()))],
    figure=draw,
    python="""
import segmodels
from segmodels.checkpoints.paths import EXAMPLES

photo = segmodels.read_photo(EXAMPLES / "cat.jpg").image
for name in ("unet_mobilenetv2", "unet_width24"):
    result, card = segmodels.load(name)(photo), segmodels.card(name)
    found = {name: f"{share:.1%}" for name, share in result.shares.items()}
    print(name, f"mIoU-7 {card.measured['scores']['miou7']:.3f}", found)
""",
    references=(
        ("unet", "section 3"),
        ("rethinking", "section 3.2"),
    ),
    see=See("anatomy", "Look into the one from scratch", "unet_width24"),
    on_photo=True,
)
