"""The Space's entry point: ``python app.py`` opens the demo, ``python app.py --weights FILE...`` with weights of your own."""

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from demo import build, launch_options
from demo.server import uploads
from segmodels.inference.loading import card_from_file
from segmodels.kernels import malloc
from segmodels.models import registry


def own_weights() -> list[Path]:
    """The weights files that the command line names, or else SEGMODELS_WEIGHTS, as PATH separates folders."""
    parser = argparse.ArgumentParser(description="Open the demo.")
    parser.add_argument(
        "--weights", nargs="+", type=Path, default=[], metavar="FILE", help="written by `segmodels train`"
    )
    given: list[Path] = parser.parse_args().weights if __name__ == "__main__" else []
    return given or [Path(part) for part in os.environ.get("SEGMODELS_WEIGHTS", "").split(os.pathsep) if part]


malloc.limit_arenas()
uploads.use_own_folder()
try:
    for file in own_weights():
        registry.register(card_from_file(file))
except (ValueError, OSError) as error:
    sys.exit(f"app.py: {error}")
demo = build()

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as cleanly as with Ctrl-C
    with suppress(KeyboardInterrupt):  # while it starts; after that, gradio closes the server
        demo.launch(**launch_options())
