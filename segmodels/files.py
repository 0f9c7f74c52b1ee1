"""Write files whole or not at all, and show paths to people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A name to write to, beside ``path``: what is written there becomes ``path``, whole or not at all.

    Raises:
        OSError: with a sentence, if the disk is full or cannot be written; what ``path`` was before, it still is.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except Exception as error:
        full = path.parent.is_dir() and disk_usage(path.parent).free < FULL
        partial.unlink(missing_ok=True)
        reason = "the disk is full" if full else " ".join(str(error).split())[:200]
        raise OSError(f"{display_path(path)} cannot be written: {reason}") from error


FULL = 2**20
"""Bytes: what is written where fewer are left failed for want of room. torch and safetensors say it in other words."""


def display_path(path: Path) -> str:
    """A path for people, without the name of the user whose home it is in."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
