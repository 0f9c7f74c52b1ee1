"""Let a weights file be loaded at another working size: ``python -m tools.weights.working_size FILE PIXELS``.

What was trained on crops of small photos often does better on larger ones: see with ``segmodels evaluate`` which size is best.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from segmodels.checkpoints.files import read_weights, save_state
from segmodels.inference.loading import load_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("pixels", type=int, help="of a photo's longer side")
    arguments = parser.parse_args()
    _, record = read_weights(arguments.file)
    if record is None:
        parser.error(f"{arguments.file} does not say what it is")
    network, _ = load_network(record.network, arguments.file)
    save_state(network, arguments.file, record=replace(record, working_size=arguments.pixels))


if __name__ == "__main__":
    main()
