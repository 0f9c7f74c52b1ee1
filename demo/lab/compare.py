"""Compare: the same photo through two to four networks or settings at once."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from segmodels import Segmentation
from segmodels.insight.cost import Cost
from segmodels.labels import VOC, ClassList
from segmodels.models import registry
from segmodels.training.metrics import Scores, confusion_matrix

from ..components import computed, photo_overlay
from ..components.download_button import download_button
from ..components.markup import listed
from ..components.model_picker import follow_stride, rate_and_stride
from ..components.model_picker.choices import settings_in_range
from ..components.templates import render
from ..events import AT_ONCE
from ..server import cache
from ..server.inference import segment_photo
from ..server.settings import control_updates, settings_text
from .contact_sheet import Picture, sheet

ID = "compare"
TITLE = "Compare"
LETTERS = "ABCD"
START = ("fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2")
NOTHING = ""
"""What a slot without a network holds."""
LEAST = 2
ANSWERS = ClassList(
    ("one answer", "2 different answers", "3 different answers", "4 different answers"),
    ((0, 0, 0), (255, 224, 102), (255, 130, 20), (214, 20, 90)),
    background=0,
)
"""How many different answers there are for a pixel: the more, the darker."""

IN_STEP = """
const inputs = () => [...element.querySelectorAll('[data-sets]')];
const set = (name, value) => {
  const input = inputs().find(one => one.dataset.sets === name);
  if (input) input.value = value;
  element.style.setProperty(name, value);
};
element.addEventListener('input', event => {
  if (event.target.dataset.sets) element.style.setProperty(event.target.dataset.sets, event.target.value);
});
for (const kind of ['pointermove', 'pointerdown']) element.addEventListener(kind, event => {
  const picture = event.target.closest('.picture');
  if (!picture) return;
  const box = picture.getBoundingClientRect();
  const across = 100 * (event.clientX - box.left) / box.width, down = 100 * (event.clientY - box.top) / box.height;
  if (picture.classList.contains('split')) {
    if (event.buttons || kind === 'pointerdown') set('--split', across);
  } else {
    set('--x', across);
    set('--y', down);
  }
});
place.addEventListener('answered', () => inputs().forEach(input => {
  input.value = element.style.getPropertyValue(input.dataset.sets) || input.defaultValue;
}));
"""
"""The sliders set what the style sheet reads, for all pictures at once, and the pointer moves the sliders; they stay as they
are when pictures change."""


@dataclass(frozen=True)
class Slot:
    """One of the networks compared, at its settings, and its answer."""

    letter: str
    result: Segmentation

    @property
    def title(self) -> str:
        return f"{self.letter}: {registry.card(self.result.model).title}"

    @property
    def settings(self) -> str:
        return settings_text(self.result.atrous_rate, self.result.output_stride)


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built."""
    settings: list[Any] = []
    with gr.Row(elem_id="compare-slots"):
        for letter, model in zip(LETTERS, START, strict=True):
            settings += _slot(letter, model)
    computed.computed(show, [photo, *settings], "compare", script=IN_STEP)
    with gr.Row():
        download_button("All networks (PNG)", "compared.png", write_sheet, [photo, *settings])
        download_button("Numbers (CSV)", "compared.csv", write_numbers, [photo, *settings])


def _slot(letter: str, model: str) -> list[Any]:
    """The network, the atrous rate and the output stride of one slot; slots beyond the second may be empty."""
    card = registry.card(model)
    networks = [(card.title, card.name) for card in registry.CARDS.values() if card.at_hand]
    choices = networks if LETTERS.index(letter) < LEAST else [("none", NOTHING), *networks]
    name = letter.lower()
    with gr.Column(min_width=150):
        network = gr.Dropdown(
            choices, value=model, label=f"{letter}: network", filterable=False, elem_id=f"compare-model-{name}"
        )
        rate, stride = rate_and_stride(card, f"compare-{{}}-{name}")
    network.change(adapt, [network], [rate, stride], **AT_ONCE)
    follow_stride(network, stride, rate)
    return [network, rate, stride]


def adapt(model: str) -> tuple[Any, Any]:
    """The settings of a network, as it was trained, or idle where it has none."""
    card = registry.CARDS.get(model)
    return (gr.update(interactive=False),) * 2 if card is None else control_updates(card)


def show(path: str, *settings: Any, step: int) -> dict[str, Any]:
    """Return the networks' answers and their comparison; until all have seen the photo, a part of them a step."""
    wanted, left_out = _wanted(settings)
    size = cache.display(path).photo.size
    classes = registry.card(wanted[0][1][0]).class_list if wanted else VOC
    over = photo_overlay.photo_attributes(path, cache.display(path), classes)
    slots: list[Slot] = []
    for letter, (model, rate, stride) in wanted:
        if len(slots) > step and not cache.has_features(path, model, stride):
            return {"html": {"": page(over, slots, len(wanted), left_out)}, "more": True}
        slots.append(Slot(letter, _segmented(path, model, rate, stride, size)))
    return {"html": {"": page(over, slots, len(wanted), left_out)}}


_results: cache.LRUCache[Segmentation] = cache.LRUCache(64 * 2**20, lambda result: result.labels.nbytes)
"""A control changes one slot: the other networks' results are kept."""


def _segmented(path: str, model: str, rate: int | None, stride: int | None, size: tuple[int, int]) -> Segmentation:
    key = path, model, rate, stride, size
    return _results.get(key, lambda: segment_photo(path, model, rate, stride, size))


Wanted = list[tuple[str, tuple[str, int | None, int | None]]]
"""The letters of slots, and their settings."""


def _wanted(settings: Sequence[Any]) -> tuple[Wanted, list[str]]:
    """The slots that can be compared, their settings checked, and the letters of those left out.

    Only networks that know the same classes can be compared: those of which there are most, and of as many, the first.

    Raises:
        ValueError: if a setting cannot be.
    """
    wanted = [
        (letter, checked(*settings[3 * index : 3 * index + 3]))
        for index, letter in zip(range(len(settings) // 3), LETTERS, strict=False)
        if settings[3 * index] != NOTHING
    ]
    known = [registry.card(model).classes for _, (model, _, _) in wanted]
    most = max(known, key=known.count, default=())
    left_out = [letter for (letter, _), classes in zip(wanted, known, strict=True) if classes != most]
    return [slot for slot in wanted if slot[0] not in left_out], left_out


def _all_slots(path: str, settings: Sequence[Any]) -> list[Slot]:
    """The answers of all networks that can be compared, at the size of the photo on the page."""
    size = cache.display(path).photo.size
    return [Slot(letter, _segmented(path, *setting, size)) for letter, setting in _wanted(settings)[0]]


def write_numbers(path: str, file: Path, *settings: Any) -> None:
    """Write a row for each two networks: on how many pixels they agree, and the IoU of their areas, class by class.

    A class that neither of the two finds has no number.
    """
    slots = _all_slots(path, settings)
    if len(slots) < LEAST:
        raise ValueError("choose at least two networks that know the same classes")
    names = slots[0].result.class_list.names
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(
            ["network", "settings", "other network", "other settings", "agreement", *(f"IoU {name}" for name in names)]
        )
        for one, other in combinations(slots, 2):
            scores = Scores(confusion_matrix(one.result.labels, other.result.labels, len(names)))
            iou = ["" if value is None else f"{value:.4f}" for value in scores.iou]
            rows.writerow([one.title, one.settings, other.title, other.settings, f"{_agreement(one, other):.4f}", *iou])


def write_sheet(path: str, file: Path, *settings: Any) -> None:
    """All overlays side by side as one PNG, each with its network, settings and agreement with the first."""
    slots = _all_slots(path, settings)
    columns = [
        [
            Picture(
                slot.result.labels,
                ", ".join(filter(None, [slot.title, slot.settings])),
                f"agrees with {slots[0].letter} on {_agreement(slot, slots[0]):.1%}",
                slot.result.class_list,
            )
        ]
        for slot in slots
    ]
    sheet(cache.display(path).photo, "The same photo, by each network", columns).save(file)


def checked(model: Any, rate: Any, stride: Any) -> tuple[str, int | None, int | None]:
    """A slot's settings as they arrive; those that the network does not have are left out.

    Raises:
        ValueError: with a sentence, for a setting that cannot be.
    """
    card = registry.card(model)
    if not card.at_hand:
        raise ValueError(f"the weights of {card.name} are not at hand; choose it in the Segment tab to fetch them")
    settings = settings_in_range(card, rate, stride)
    return card.name, settings.atrous_rate, settings.output_stride if card.chooses_stride else None


def answers(label_maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """How many different labels each pixel was given: (H, W), 1 where all label maps agree."""
    ordered = np.sort(np.stack(label_maps), axis=0)
    different: NDArray[np.uint8] = (1 + (ordered[1:] != ordered[:-1]).sum(0)).astype(np.uint8)
    return different


def page(over: str, slots: Sequence[Slot], wanted: int, left_out: Sequence[str]) -> str:
    """The pictures of the ``slots`` that are done; when all ``wanted`` are, also what becomes of comparing them.

    ``over`` is ``photo_attributes`` of the photo, ``left_out`` the letters of networks that know other classes.
    """
    compared = _compared(slots) if len(slots) == wanted >= LEAST else None
    return render("lab/compare.html", over=over, slots=slots, wanted=wanted, compared=compared, left_out=left_out)


def _compared(slots: Sequence[Slot]) -> dict[str, Any]:
    """What the template shows of networks beside one another."""
    classes = slots[0].result.class_list
    number = answers([slot.result.labels for slot in slots])
    pair = most_different(slots)
    return {
        "classes": classes,
        "found": [name for name in classes.names if any(name in slot.result.shares for slot in slots)],
        "number": number - 1,
        "answers": ANSWERS,
        "shares": [float((number == count).mean()) for count in range(1, len(slots) + 1)],
        "pair": pair,
        "differ": np.mean(pair[0].result.labels != pair[1].result.labels),
        "columns": [name for name in classes.names if any(name in listed(slot.result) for slot in slots)],
        "rows": [(slot, registry.card(slot.result.model), _cost(slot), _agreement(slot, slots[0])) for slot in slots],
    }


def _cost(slot: Slot) -> Cost:
    width, height = slot.result.working_size
    return cache.cost(slot.result.model, height, width, slot.result.output_stride)


def _agreement(slot: Slot, other: Slot) -> float:
    return float(np.mean(slot.result.labels == other.result.labels))


def most_different(slots: Sequence[Slot]) -> tuple[Slot, Slot]:
    """The two whose label maps differ on the most pixels; of several such pairs, the first."""
    return max(combinations(slots, 2), key=lambda two: int((two[0].result.labels != two[1].result.labels).sum()))
