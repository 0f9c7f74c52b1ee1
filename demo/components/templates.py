"""HTML from templates, which escape everything that is put into them.

A template lies beside the Python that fills it, and is named by its path in ``demo``. Text that comes from a weights file or
a visitor is put in as it is; HTML that is meant as such is ``Markup``. What many templates use is ``ui``: the macros in
``macros.html``.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import figures, heat_map, markup, photo_overlay

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parents[1]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["percent"] = lambda share, digits=1: "–" if share is None else f"{share:.{digits}%}"
_ENVIRONMENT.filters["readable"] = markup.readable
_ENVIRONMENT.filters["unbroken"] = figures.unbroken
_ENVIRONMENT.filters["shares"] = markup.in_words
_ENVIRONMENT.globals |= {
    "colour_style": markup.colour_style,
    "summary": markup.summary,
    "listed": markup.listed,
    "least": markup.LEAST_SHARE,
    "data_url": markup.data_url,
    "gradient": heat_map.gradient,
    "save_button": figures.save_button,
    "picture": photo_overlay.picture,
    "layer": photo_overlay.layer,
    "label_png": photo_overlay.label_png,
    "differences": photo_overlay.differences,
}
_ENVIRONMENT.globals["ui"] = _ENVIRONMENT.get_template("components/macros.html").module


def render(name: str, **values: Any) -> Markup:
    """Return the template called ``name``, such as ``segment/about.html``, filled with ``values``."""
    return Markup(_ENVIRONMENT.get_template(name).render(**values))
