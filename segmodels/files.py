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
        partial.unlink(missing_ok=True)
        partial.touch()
        mode = (
            partial.stat().st_mode
        )  # as the umask says; safetensors writes a file of its own that its owner alone can read
        yield partial
        partial.chmod(mode)
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
    try:
        home = Path.home()
    except RuntimeError:  # an account without a name, as containers give, and no HOME
        return str(path)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def is_hidden(path: Path) -> bool:
    """Return whether a file, or a folder on the way to it, is one that is not shown: its name begins with a full stop."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.parts)
