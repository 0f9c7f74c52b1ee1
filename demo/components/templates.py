"""HTML from templates, which escape everything that is put into them.

A template lies beside the Python that fills it, and is named by its path in ``demo``. Text that comes from a weights file or
a visitor is put in as it is; HTML that is meant as such is ``Markup``.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segmodels.labels import ClassList

from . import markup

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parents[1]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **values: Any) -> Markup:
    """Return the template called ``name``, such as ``segment/about.html``, filled with ``values``."""
    return Markup(_ENVIRONMENT.get_template(name).render(**values))


def _swatch(classes: ClassList, name: str) -> Markup:
    return Markup(markup.swatch(classes.names.index(name), classes))


_ENVIRONMENT.globals["swatch"] = _swatch
_ENVIRONMENT.filters["percent"] = lambda share, digits=1: "–" if share is None else f"{share:.{digits}%}"
_ENVIRONMENT.filters["readable"] = markup.readable
_ENVIRONMENT.globals["least"] = markup.LEAST_SHARE
