"""The command line: ``segmodels COMMAND``. One module a command, with ``add`` for its options and ``run`` for its work."""

import sys
from collections.abc import Sequence

from .. import __version__
from ..kernels import malloc
from . import bench, check, demo, evaluate, export, fetch, import_, listing, segment, sheet, train
from .options import Parser

COMMANDS = (demo, listing, fetch, segment, sheet, evaluate, import_, check, train, export, bench)
"""In the order in which the help names them."""


def parser() -> Parser:
    """The whole command line."""
    whole = Parser(prog="segmodels", description="Segment photos with FCN, U-Net and DeepLab; train and score them.")
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; what goes wrong on the user's side is one line on stderr and exit status 2."""
    arguments = parser().parse_args(argv)
    malloc.keep_freed_memory()
    try:
        arguments.run(arguments)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(_complaint(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _complaint(error: Exception) -> int:
    print(f"segmodels: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
