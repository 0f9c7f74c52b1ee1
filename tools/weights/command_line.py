"""What was typed to run a tool, as it is written down beside what the tool made."""

import re
import sys


def typed(tool: str) -> str:
    """The command line of this process, ``tool`` being the module's name; of absolute paths, the last part alone."""
    arguments = [re.sub(r"(?<![\w.])/(?:[^/\s]+/)*", "", argument) for argument in sys.argv[1:]]
    return " ".join([f"python -m tools.weights.{tool}", *arguments])
