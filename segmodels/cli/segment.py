"""``segmodels segment``: pictures of photos."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .options import add_model, checked_settings, loaded

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("segment", help="write label map, overlay and figure of photos")
    command.add_argument("photos", nargs="+", metavar="PHOTO", type=Path, help="files, and folders of photos")
    command.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the pictures go; made if missing"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object a photo")
    command.add_argument(
        "--engine", choices=("threads", "ray"), default="threads", help="ray: on a Ray cluster that shares the folders"
    )
    add_model(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Segment photos; those that cannot be read are named at the end."""
    from ..many.local_engine import Job, photos_in, segment_many

    photos = photos_in(arguments.photos)
    weights = str(arguments.weights) if arguments.weights else None
    job = Job(arguments.out, arguments.model, weights, *checked_settings(arguments), arguments.precision)
    if arguments.engine == "ray":
        from ..many.ray_engine import segment_on_ray

        arguments.out.mkdir(parents=True, exist_ok=True)
        outcomes = segment_on_ray(job, photos)
    else:
        segmenter, _ = loaded(arguments)
        arguments.out.mkdir(parents=True, exist_ok=True)
        outcomes = segment_many(job, segmenter, photos)
    problems = []
    with tqdm(total=len(photos), unit="photo", disable=True if len(photos) == 1 else None) as bar:
        for outcome in outcomes:
            if outcome.report is None:
                problems.append(f"{outcome.path}: {outcome.problem}")
            else:
                bar.write(json.dumps(outcome.report) if arguments.json else _sentence(outcome.report), sys.stdout)
            bar.update()
    if problems:
        counted = f"{len(problems)} of {len(photos)} photos could not be segmented: " if len(photos) > 1 else ""
        raise ValueError(counted + "; ".join(problems))


def _sentence(report: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report["classes"].items())
    lines = [f"{report['file']}: {shares} ({report['milliseconds']['total']:.0f} ms)", *report["notes"]]
    return "\n  ".join(lines)
