"""Settings as they arrive from a page or a program: anything; and errors as they leave: sentences."""

from typing import Any


def whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number that may have arrived as a float, as JSON's numbers do.

    Raises:
        ValueError: for anything else, or beyond ``least`` and ``most``.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most or value != int(value):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {str(value)[:40]!r}")
    return int(value)


def sentence(error: ValueError | OSError) -> str:
    """What to tell a visitor: the message, or, of an error of the system, its kind and not the path that it names."""
    if isinstance(error, OSError) and error.strerror:
        return f"The server cannot do this now ({error.strerror.lower()}): try again later."
    said = str(error)
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?", "!")) else ".")
