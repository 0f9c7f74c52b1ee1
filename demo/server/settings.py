"""Settings as they arrive from a page or a program, and the controls that show them."""

from typing import Any

import gradio as gr

from segmodels.inference.settings import Settings, check_settings
from segmodels.models.card import Card


def applicable_settings(card: Card, rate: Any, stride: Any) -> Settings:
    """What the network of ``card`` runs at; a rate or a stride that it does not have is left out.

    Raises:
        ValueError: with a sentence, for a setting that cannot be.
    """
    return check_settings(card, rate if card.atrous_rate is not None else None, stride if card.chooses_stride else None)


def control_updates(card: Card, model: Any = None, rate: Any = None, stride: Any = None) -> tuple[Any, Any]:
    """The controls for rate and stride as the network of ``card`` was trained, each idle where there is none to choose.

    Where ``model``, the Segment tab's network, is the same, they are at its ``rate`` and ``stride`` instead.
    """
    same = model == card.name
    ours = gr.update(interactive=False) if card.atrous_rate is None else _update(rate if same else card.atrous_rate)
    idle = gr.update(interactive=False)
    return ours, _update(stride if same else card.output_stride) if card.chooses_stride else idle


def variant_names(card: Card) -> list[str]:
    """Return the names of the ways in which the decoder of ``card`` can run, the whole one first."""
    return [name for name, _ in card.variants]


def variant_update(card: Card, value: Any = None) -> Any:
    """Return the control of the decoder's variants: at ``value`` if the network has it, idle where there is but one."""
    names = variant_names(card)
    return gr.update(choices=names, value=value if value in names else names[0], interactive=len(names) > 1)


def _update(value: int) -> Any:
    return gr.update(interactive=True, value=value)


def settings_text(rate: int | None, stride: int | None) -> str:
    """Rate and stride as they stand in captions: ``rate 6, stride 16``; nothing of what is None."""
    named = (("rate", rate), ("stride", stride))
    return ", ".join(f"{name} {value}" for name, value in named if value is not None)
