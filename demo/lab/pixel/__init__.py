"""Click a pixel: where the network looked to label it, in theory, by its taps, and in effect."""

import json
from typing import Any

import gradio as gr

from segmodels.inference.settings import quoted
from segmodels.models import registry

from ...components import computed
from ...components.model_picker import NetworkSettings, checked_settings, model_picker
from ...events import AT_ONCE
from ...server import cache
from .facts import facts_table
from .picture import figure
from .receptive_field import effective, has_effective, look

ID = "pixel"
TITLE = "Click a pixel"

LAYERS = ("Effective field", "Theoretical field", "Taps")
"""What can be drawn on the photo."""
WINNER = "the best class"

ABOUT = (
    "**Theoretical field**: no pixel outside can move this one's scores. **Taps**: the cells of the backbone's "
    "last map that the ASPP reads. **Effective field**: how much each pixel moves the score, the size of its "
    "gradient."
)


def section(photo: gr.Image, network: gr.Radio) -> None:
    """Put the section into the tab that is being built; nothing is computed before it is shown."""
    with gr.Row():
        with gr.Column(scale=6, min_width=300):
            place = gr.Column(elem_id="pixel-place")
        with gr.Column(scale=6, min_width=300):
            chosen = model_picker("pixel", registry.bundled_models())
            with gr.Row():
                x, y = _slider("Across, %", "pixel-x"), _slider("Down, %", "pixel-y")
                followed = gr.Dropdown(
                    [WINNER, *registry.card(registry.bundled_models()[0]).classes],
                    value=WINNER,
                    label="Score followed",
                    filterable=False,
                    elem_id="pixel-class",
                    min_width=150,
                )
            layers = gr.CheckboxGroup(
                list(LAYERS), value=list(LAYERS), label="Show", elem_id="pixel-layers", min_width=280
            )
            computed.target("pixel-facts")
    gr.Markdown(ABOUT, elem_classes="about-section")
    changes = [photo.change, *chosen.changes, x.change, y.change, followed.change]
    with place:
        picture = computed.computed(show, [photo, *chosen.all, x, y, followed], "pixel", changes=changes, script=CLICK)
    chosen.settled.change(
        classes_of,
        [chosen.settled, followed],
        [followed],
        **AT_ONCE,
    )
    picture.select(None, None, [x, y], js=CLICKED)
    layers.change(None, [layers], js=CHOOSE_LAYERS)


def _slider(label: str, elem_id: str) -> gr.Slider:
    return gr.Slider(0, 100, value=50, step=0.5, label=label, elem_id=elem_id, min_width=140)


CLICK = """
element.addEventListener('click', event => {
  const photo = event.target.closest('.picture')?.querySelector('.photo');
  if (!photo) return;
  const box = photo.getBoundingClientRect();
  const percent = (at, start, length) => Math.round(Math.min(Math.max((at - start) / length, 0), 1) * 200) / 2;
  element.dataset.x = percent(event.clientX, box.left, box.width);
  element.dataset.y = percent(event.clientY, box.top, box.height);
  trigger('select');
});
"""
CLICKED = """() => {
  const chosen = document.querySelector('#pixel [data-x], #pixel[data-x]').dataset;
  return [Number(chosen.x), Number(chosen.y)];
}"""
"""A click on the photo moves the sliders, and those do the rest: what the mouse can, the keyboard can."""

CHOOSE_LAYERS = f"""(layers) => {{
  document.querySelector('#pixel').dataset.hidden = {json.dumps(LAYERS)}
    .filter(name => !layers.includes(name)).map(name => name.split(' ')[0].toLowerCase()).join(' ');
}}"""


def show(path: str, model: Any, rate: Any, stride: Any, x: Any, y: Any, followed: Any, *, step: int) -> dict[str, Any]:
    """Return boxes, taps and bars, then the same with the heat map, which takes longer."""
    settings = checked_settings(model, rate, stride, registry.bundled_models())
    looked = look(path, settings, _percent("across", x), _percent("down", y), _class(settings, followed))
    more = step == 0 and not has_effective(path, settings, looked)
    heat = None if more else effective(path, settings, looked)
    html = {
        "": figure(cache.display(path), settings, looked, heat),
        "pixel-facts": facts_table(settings, looked, heat),
    }
    return {"html": html, "more": more}


def _percent(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"how far {name} the pixel lies must be a number from 0 to 100, not {quoted(value)}")
    return value / 100


def classes_of(model: Any, followed: Any) -> Any:
    """The scores that can be followed in a network: the one that was, if it has it."""
    if model not in registry.bundled_models():
        return gr.skip()  # where the picture would be, it is said what is wrong
    classes = registry.card(model).classes
    return gr.update(choices=[WINNER, *classes], value=followed if followed in classes else WINNER)


def _class(settings: NetworkSettings, followed: Any) -> int | None:
    """The index of a class; None for whichever is best.

    A class of another network may still be followed while the page changes over to this one.
    """
    if followed == WINNER:
        return None
    if followed not in settings.card.classes:
        if any(followed in card.classes for card in registry.CARDS.values()):
            return None
        raise ValueError(f"there is no class called {quoted(followed)}; choose one of the list")
    return settings.card.classes.index(followed)
