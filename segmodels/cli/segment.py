"""``segmodels segment``: pictures of photos."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..batch.coco import classes_of, with_coco
from ..batch.job import INSTANCES, PICTURES, ForeignFileError, Job, Outcome, PhotoWriter, delete_partial
from ..batch.local_engine import photos_in, segment_many
from ..batch.ray_engine import segment_on_ray
from ..batch.stack import StackReport, segment_stack
from ..batch.video import is_video, segment_video
from ..checkpoints.files import read_weights
from ..crf.parameters import chosen_crf
from ..inference.instances import has_instances
from ..inference.photo import AXES, PhotoError
from ..models import registry
from .options import add_crf, add_model, checked_settings, load_segmenter, resolve_model

if TYPE_CHECKING:
    from .options import Commands


def add(commands: "Commands") -> None:
    """The command's options."""
    command = commands.add_parser("segment", help="write label map, overlay and figure of photos")
    command.add_argument("photos", nargs="+", metavar="PHOTO", type=Path, help="files, and folders of photos; videos")
    command.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the pictures go; made if missing"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object a photo")
    command.add_argument(
        "--engine", choices=("threads", "ray"), default="threads", help="ray: on a Ray cluster that shares the folders"
    )
    command.add_argument(
        "--pictures",
        type=pictures,
        metavar="NAMES",
        help="which to write, such as labels,overlay (default: labels, overlay and figure; of cells, instances too: labels, "
        "table and outlines of each)",
    )
    command.add_argument(
        "--grey",
        action="store_true",
        help="label maps as grey PNGs: most libraries read the colours of a palette instead",
    )
    command.add_argument("--coco", type=Path, metavar="FILE", help="write what was found as COCO's JSON too")
    for axis in AXES:
        command.add_argument(
            f"--{axis}",
            type=place_number,
            metavar="N",
            help=f"which {axis} of TIFFs that hold several, counted from 1 (1)",
        )
    command.add_argument(
        "--stack",
        action="store_true",
        help="count cells in every picture of TIFF stacks, or in all at the --channel, --z, --t or --page: a stack of labels, "
        "and a table",
    )
    command.add_argument("--force", action="store_true", help="also photos that are done")
    command.add_argument(
        "--smoothing",
        type=float,
        default=0.0,
        metavar="S",
        help="videos: how much of a frame's logits is those of the frames before, 0 to less than 1, against flicker",
    )
    add_crf(command)
    add_model(command)
    command.set_defaults(run=run)


def pictures(text: str) -> tuple[str, ...]:
    """Names of pictures with commas between them, for argparse."""
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= {*PICTURES, INSTANCES}:
        raise argparse.ArgumentTypeError(f"the pictures are labels, overlay, figure and instances, not {text!r}")
    return names


def pictures_for(model: str, weights: str | None, chosen: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return what is written: what was chosen, or else all that the network's answer can be shown as.

    Raises:
        ValueError: if objects were chosen and the network tells none apart.
    """
    record = read_weights(Path(weights))[1] if weights else None
    counts = has_instances(record.class_list if record else registry.card(model).class_list)
    if chosen and INSTANCES in chosen and not counts:
        raise ValueError(f"{model} does not tell objects apart, so there are no instances to write")
    return chosen or ((*PICTURES, INSTANCES) if counts else PICTURES)


def run(arguments: argparse.Namespace) -> None:
    """Segment photos; those that cannot be read are named at the end."""
    resolve_model(arguments)
    if arguments.stack:
        run_stacks(arguments)
        return
    if videos := [path for path in arguments.photos if is_video(path)]:
        run_videos(arguments, videos)
        arguments.photos = [path for path in arguments.photos if path not in videos]
        if not arguments.photos:
            return
    photos = photos_in(arguments.photos)
    job = job_of(arguments)
    if arguments.coco and "labels" not in job.pictures:
        raise ValueError("--coco takes the classes from the label maps: leave labels among the --pictures")
    segmenter = None if arguments.engine == "ray" else job.load()  # which may fail, so before there is a folder
    arguments.out.mkdir(parents=True, exist_ok=True)
    delete_partial(arguments.out)
    outcomes = segment_many(job, segmenter, photos) if segmenter else segment_on_ray(job, photos)
    if arguments.coco:
        outcomes = with_coco(outcomes, classes_of(job.model, job.weights), arguments.coco)
    _tell(outcomes, len(photos), arguments.json, may_be_cells=arguments.model == registry.DEFAULT_MODEL)


def place_number(text: str) -> int:
    """A number of a page, channel, z or t, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give its number in the file, counted from 1, not {text!r}")
    return int(text)


def job_of(arguments: argparse.Namespace) -> Job:
    """Return what is to be done to every photo.

    Raises:
        ValueError: for settings that the network cannot have.
    """
    weights = str(arguments.weights) if arguments.weights else None
    return Job(
        arguments.out,
        arguments.model,
        weights,
        *checked_settings(arguments),
        precision=arguments.precision,
        device=arguments.device,
        pictures=pictures_for(arguments.model, weights, arguments.pictures),
        force=arguments.force,
        grey=arguments.grey,
        crf=chosen_crf(arguments.crf),
        place=tuple((axis, number) for axis in AXES if (number := getattr(arguments, axis)) is not None),
    )


def run_stacks(arguments: argparse.Namespace) -> None:
    """Count cells in every picture of every stack; those that cannot be read are named at the end."""
    job, problems = job_of(arguments), []
    writer = PhotoWriter(job, job.load())
    stacks = photos_in(arguments.photos)
    for path in stacks:
        try:
            with tqdm(desc=path.name, unit="picture", disable=None) as bar:
                done = segment_stack(writer, path, bar.update)
        except (PhotoError, ForeignFileError) as error:
            problems.append(f"{path}: {error}")
            continue
        report = {"file": str(path), "model": arguments.model, **asdict(done)}
        print(json.dumps(report) if arguments.json else f"{path}: {_counted(done)}")
    _complain(problems, len(stacks))


def _counted(done: StackReport) -> str:
    """The objects of a stack, by channel where there are several: one cell may be seen in each."""
    counts: dict[int | None, list[int]] = {}
    for place, count in zip(done.places, done.counts, strict=True):
        counts.setdefault(place.get("channel"), []).append(count)
    return "; ".join(
        f"{f'channel {channel}: ' if channel else ''}{_number(sum(each), 'nucleus', 'nuclei')} "
        f"in {_number(len(each), 'picture', 'pictures')}"
        for channel, each in counts.items()
    )


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def run_videos(arguments: argparse.Namespace, videos: list[Path]) -> None:
    """Segment every frame of every video."""
    if arguments.crf:
        raise ValueError("the CRF is for photos: leave --crf out for videos")
    segmenter, settings = load_segmenter(arguments)
    for path in videos:
        with tqdm(desc=path.name, unit="frame", disable=None) as bar:
            done = segment_video(segmenter, path, arguments.out, settings, arguments.smoothing, bar.update)
        report = {"file": str(path), "model": arguments.model, **asdict(done)}
        told = f"{path}: {done.frames} frames, {done.flicker:.2%} of still pixels flicker"
        print(json.dumps(report) if arguments.json else told)


def _tell(outcomes: Iterator[Outcome], photos: int, as_json: bool, may_be_cells: bool) -> None:
    """Print reports as they come; raises ValueError that names the photos without one."""
    problems, deep = [], False
    with tqdm(total=photos, unit="photo", disable=True if photos == 1 else None) as bar:
        for outcome in outcomes:
            if outcome.report is None:
                problems.append(f"{outcome.path}: {outcome.problem}")
            else:
                deep |= outcome.path.suffix.lower() in (".tif", ".tiff") and "as black to white" in str(
                    outcome.report["notes"]
                )
                bar.write(json.dumps(outcome.report) if as_json else _sentence(outcome.report), sys.stdout)
            bar.update()
    if deep and may_be_cells and not as_json:
        print("If these are cells under a microscope, --model unet_nuclei finds and counts them.")
    _complain(problems, photos)


def _complain(problems: list[str], photos: int) -> None:
    if problems:
        counted = f"{len(problems)} of {photos} photos could not be segmented: " if photos > 1 else ""
        raise ValueError(counted + "; ".join(problems))


def _sentence(report: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report["classes"].items())
    if "instances" in report:
        shares = f"{report['instances']['count']} nuclei, {shares}"
    lines = [f"{report['file']}: {shares} ({report['milliseconds']['total']:.0f} ms)", *report["notes"]]
    return "\n  ".join(lines)
