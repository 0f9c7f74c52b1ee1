"""``python -m demo`` and ``segmodels-demo`` open the page; ``--weights FILE...`` adds weights of your own."""

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import gradio as gr

from segmodels.inference.loading import card_from_file
from segmodels.kernels import malloc
from segmodels.models import registry

from . import build, launch_options
from .server import uploads


def own_weights(arguments: Sequence[str] | None = None) -> list[Path]:
    """Return the weights files that the command line names, or else SEGMODELS_WEIGHTS, separated as in PATH."""
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name, description="Open the demo.")
    parser.add_argument(
        "--weights", nargs="+", type=Path, default=[], metavar="FILE", help="written by `segmodels train`"
    )
    named: list[Path] = parser.parse_args(arguments).weights
    return named or [Path(part) for part in os.environ.get("SEGMODELS_WEIGHTS", "").split(os.pathsep) if part]


def prepare(weights: Sequence[Path]) -> gr.Blocks:
    """Set up this process for the page and build it, with ``weights`` beside the bundled networks.

    Raises:
        ValueError, OSError: if a weights file cannot be used.
    """
    malloc.limit_arenas()
    uploads.use_own_folder()
    for file in weights:
        registry.register(card_from_file(file))
    return build()


def main() -> None:
    """Open the page and serve it until the process is interrupted."""
    try:
        page = prepare(own_weights())
    except (ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as cleanly as with Ctrl-C
    with suppress(KeyboardInterrupt):  # while it starts; after that, gradio closes the server
        page.launch(**launch_options())
    _leave()


def _leave() -> None:
    """End at once, tidily: an interpreter that ends while threads compute kills them inside C++, which aborts the process."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
