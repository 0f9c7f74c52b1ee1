"""Names of classes in figures: in fonts that have their letters, or as numbers where there is none."""

from collections.abc import Iterable
from functools import cache

from ..labels import ClassList

DEFAULT = "DejaVu Sans"
"""matplotlib's own font: Latin, Greek, Cyrillic and a little more."""

FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Arabic", "Noto Naskh Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai"),
)
"""Fonts of other scripts, as systems bring them along; those that are installed are used."""


@cache
def _letters(family: str) -> frozenset[int]:
    """The letters that an installed font has; none if it is not installed."""
    from matplotlib.font_manager import findfont, get_font  # here, because it takes long to load

    try:
        return frozenset(get_font(findfont(family, fallback_to_default=False)).get_charmap())
    except (ValueError, OSError, RuntimeError):
        return frozenset()


def legend_fonts(names: Iterable[str]) -> list[str]:
    """Return the fonts in which ``names`` are written, the first of them matplotlib's own."""
    wanted = {ord(letter) for name in names for letter in name if not letter.isspace()} - _letters(DEFAULT)
    fonts = [DEFAULT]
    for family in FALLBACKS:
        if wanted & _letters(family):
            fonts.append(family)
            wanted -= _letters(family)
    return fonts


def legend_label(classes: ClassList, index: int) -> str:
    """Return the name of a class, or its number where no font has its letters and they would be boxes."""
    name = classes.names[index]
    known = frozenset().union(*(_letters(family) for family in legend_fonts([name])))
    return name if all(letter.isspace() or ord(letter) in known for letter in name) else f"class {index}"
