"""What several sections of the lab share: a network and its settings to choose."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from segmodels.inference.settings import RATE_RANGE
from segmodels.models import registry
from segmodels.models.backbones import OUTPUT_STRIDES
from segmodels.models.card import Card
from segmodels.models.registry import DEFAULT_MODEL

from ...server import weight_downloads
from ...server.settings import control_updates, settings_text
from .choices import settings_in_range
from .following import settings_beside

PROGRESS = gr.Progress()


@dataclass(frozen=True)
class ModelPicker:
    """A network, an atrous rate and an output stride to choose."""

    model: gr.Dropdown
    rate: gr.Slider
    stride: gr.Radio
    settled: gr.Textbox
    """The network whose settings have been brought along: it changes after rate and stride."""

    @property
    def all(self) -> list[Any]:
        """What an event takes as its inputs."""
        return [self.model, self.rate, self.stride]

    @property
    def changes(self) -> list[Any]:
        """What an event listens to. To be one event with all else that changes the same output, so that of two answers
        the later one stays."""
        return [self.settled.change, self.rate.change, self.stride.change]


@dataclass(frozen=True)
class NetworkSettings:
    """A choice that was checked. Rate and stride are None where the network has none."""

    card: Card
    rate: int | None
    stride: int | None

    @property
    def sentence(self) -> str:
        """As it is said in captions: ``DeepLab v3 at rate 6, stride 16``."""
        said = settings_text(self.rate, self.stride)
        return f"{self.card.title} at {said}" if said else self.card.title


def model_picker(prefix: str, models: Sequence[str]) -> ModelPicker:
    """Put the controls into what is being built; their ``elem_id`` begin with ``prefix``.

    Another network brings its trained settings along, and its weights if they have to be fetched.
    """
    card = registry.card(DEFAULT_MODEL)
    choices = [(_title(registry.card(name)), name) for name in models]
    with gr.Row():
        model = gr.Dropdown(
            choices, value=card.name, label="Network", filterable=False, elem_id=f"{prefix}-model", min_width=170
        )
        rate, stride = rate_and_stride(card, f"{prefix}-{{}}", min_width=170)
    settled = gr.Textbox(card.name, visible="hidden", container=False)
    model.change(
        adapt,
        [model, *settings_beside(Context.root_block)],
        [rate, stride, settled],
        show_progress="full",
        show_progress_on=[model],
        api_visibility="private",
        preprocess=False,
        concurrency_id="fetch",
        concurrency_limit=4,
        trigger_mode="always_last",
    )
    follow_stride(model, stride, rate)
    return ModelPicker(model, rate, stride, settled)


def rate_and_stride(card: Card, elem_id: str, min_width: int = 160) -> tuple[gr.Slider, gr.Radio]:
    """Put both controls into what is being built, as ``card`` was trained, idle where it has none.

    ``elem_id`` has a place for ``rate`` and ``stride``: ``pixel-{}``.
    """
    rate = gr.Slider(
        *RATE_RANGE,
        value=card.atrous_rate or 6,
        step=1,
        label="Atrous rate",
        interactive=card.atrous_rate is not None,
        elem_id=elem_id.format("rate"),
        min_width=min_width,
    )
    stride = gr.Radio(
        list(OUTPUT_STRIDES),
        value=card.output_stride if card.chooses_stride else 16,
        label="Output stride",
        interactive=card.chooses_stride,
        elem_id=elem_id.format("stride"),
        min_width=min_width,
    )
    return rate, stride


def follow_stride(model: gr.Dropdown | gr.Radio, stride: gr.Radio, rate: gr.Slider) -> None:
    """Let a visitor's choice of the stride bring the rate along that covers the trained field there, in the browser."""
    fields = {
        card.name: card.atrous_rate * card.output_stride
        for card in registry.CARDS.values()
        if card.atrous_rate is not None and card.chooses_stride
    }
    js = f"(model, stride, rate) => {{ const field = {json.dumps(fields)}[model]; return field ? Math.max(Math.floor(field / stride), 1) : rate; }}"
    stride.input(None, [model, stride, rate], [rate], js=js, api_visibility="private")


def _title(card: Card) -> str:
    if not card.published:
        return card.title
    return f"{card.title} (torchvision's{'' if card.at_hand else ', fetched on first use'})"


def adapt(
    model: Any, chosen: Any = None, rate: Any = None, stride: Any = None, progress: gr.Progress = PROGRESS
) -> tuple[Any, Any, str]:
    """Rate and stride as the network was trained with, idle where it has none, and its name; weights are fetched.

    ``chosen``, ``rate`` and ``stride`` are the Segment tab's: they stay where the network is the same.

    What goes wrong here is said where the section shows its result.
    """
    try:
        card = registry.card(model)
    except ValueError:
        return gr.skip(), gr.skip(), str(model)
    weight_downloads.fetch_chosen(card, progress)
    return *control_updates(card, chosen, rate, stride), card.name


def checked_settings(model: Any, rate: Any, stride: Any, models: Sequence[str]) -> NetworkSettings:
    """The settings as they arrive from the page, or from anyone else.

    Raises:
        ValueError: with a sentence, for one that cannot be, or a network that is none of ``models``.
    """
    card = registry.card(model)
    if card.name not in models:
        raise ValueError(f"the network {card.name} cannot be looked at here; choose one of {', '.join(models)}")
    settings = settings_in_range(card, rate, stride)
    return NetworkSettings(card, settings.atrous_rate, settings.output_stride if card.chooses_stride else None)
