"""A sheet of masks, each photo by every bundled network: ``python -m tools.repository.sheet [PHOTO...]`` writes ``docs/masks.jpg``.

Without photos, the examples. To look at after a training run, and for readers who want to see before they install.
"""

import argparse
from pathlib import Path

from segmodels.batch.sheet import contact_sheet
from segmodels.models import registry

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="*", default=sorted((ROOT / "assets" / "examples").glob("*.jpg")))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "masks.jpg")
    arguments = parser.parse_args()
    models = [*registry.compact_models(), "deeplabv3_mobilenetv2_google"]
    contact_sheet(arguments.photos, models, crfs=(False, True)).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
