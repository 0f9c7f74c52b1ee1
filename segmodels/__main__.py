"""The command line: ``python -m segmodels list | segment | evaluate | train | bench``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm import tqdm

from . import zoo
from .speed import heap

if TYPE_CHECKING:
    from .segmenter import Segmenter


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> Parser:
    """The whole command line."""
    main = Parser(prog="segmodels", description="Segment photos with FCN, U-Net and DeepLab; train and score them.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="the networks, with scores and costs")
    command.add_argument("--json", action="store_true", help="print a JSON list")
    command.set_defaults(run=list_command)

    command = commands.add_parser("segment", help="write label map, overlay and figure of photos")
    command.add_argument("photos", nargs="+", metavar="PHOTO", type=Path, help="files, and folders of photos")
    command.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where the pictures go; made if missing"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object a photo")
    command.add_argument(
        "--engine", choices=("threads", "ray"), default="threads", help="ray: on a Ray cluster that shares the folders"
    )
    _add_model(command)
    command.set_defaults(run=segment_command)

    command = commands.add_parser("evaluate", help="score a network on a folder of photos and label maps")
    command.add_argument("data", type=Path, metavar="DATA", help="a folder with images/, labels/ and <split>.txt")
    command.add_argument("--split", default="val", help="which list of the folder (default: val)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    _add_model(command)
    command.set_defaults(run=evaluate_command)

    command = commands.add_parser("train", help="train a network")
    command.add_argument("data", nargs="+", type=Path, metavar="DATA", help="folders with images/, labels/, train.txt")
    command.add_argument("--model", required=True, metavar="NAME")
    command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the .safetensors file to write")
    command.add_argument("--epochs", type=_positive, metavar="N", help="passes over the photos")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of the recipe"
    )
    command.add_argument("--start", type=Path, metavar="FILE", help="weights to start from, in place of ImageNet's")
    command.add_argument("--workers", type=int, default=1, metavar="N", help="processes that read photos (default: 1)")
    command.add_argument("--resume", action="store_true", help="go on from the checkpoint beside FILE, if there is one")
    command.set_defaults(run=train_command)

    command = commands.add_parser("bench", help="measure how fast this is here, beside torchvision")
    command.add_argument("--model", nargs="+", default=[], metavar="NAME", help="these networks alone")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quick", action="store_true", help="small pictures, one turn: whether it runs, not how fast")
    command.set_defaults(run=bench_command)
    return main


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, metavar="NAME", help="one of `segmodels list`")
    command.add_argument("--weights", type=Path, metavar="FILE", help="other weights for it")
    command.add_argument("--atrous-rate", type=int, metavar="R", help="DeepLab: the ASPP looks at R, 2R and 3R")
    command.add_argument("--output-stride", type=int, metavar="S", help="DeepLab: 8, 16 or 32")
    command.add_argument("--working-size", type=int, metavar="PIXELS", help="longer side the network sees")
    command.add_argument("--precision", choices=("float32", "bfloat16"), help="in place of what suits the machine")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def list_command(arguments: argparse.Namespace) -> None:
    """Print the zoo."""
    rows = [zoo.facts(zoo.card(name)) for name in zoo.list_models()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'name':<30}{'mIoU-7':>8}{'mIoU':>8}{'parameters':>13}{'GMACs':>8}  what it is")
    for row in rows:
        scores = row["scores"] or {}
        miou7, miou = (f"{scores[key]:.3f}" if key in scores else "-" for key in ("miou7", "miou"))
        miou += "*" if row["source"] == "published" else " "
        macs = f"{row['macs'] / 1e9:.1f}"
        print(f"{row['name']:<30}{miou7:>8}{miou:>9}{row['parameters']:>12,}{macs:>8}  {row['summary']}")
    print("* torchvision's own score on COCO photos, not to be compared with the others; fetched on first use")


def segment_command(arguments: argparse.Namespace) -> None:
    """Segment photos; those that cannot be read are named at the end."""
    from .many.local_engine import Job, photos_in, segment_many

    photos = photos_in(arguments.photos)
    weights = str(arguments.weights) if arguments.weights else None
    job = Job(arguments.out, arguments.model, weights, *_check(arguments), arguments.precision)
    if arguments.engine == "ray":
        from .many.ray_engine import segment_on_ray

        arguments.out.mkdir(parents=True, exist_ok=True)
        outcomes = segment_on_ray(job, photos)
    else:
        segmenter, _ = _load(arguments)
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


def evaluate_command(arguments: argparse.Namespace) -> None:
    """Score a network."""
    from .training.data import SegmentationFolder
    from .training.evaluate import evaluate

    folder = SegmentationFolder(arguments.data, arguments.split)
    segmenter, settings = _load(arguments)
    scores = evaluate(lambda photo: segmenter(photo, *settings).labels, folder, len(segmenter.card.classes))
    iou = dict(zip(segmenter.card.classes, scores.iou, strict=True))
    pixels = dict(zip(segmenter.card.classes, scores.pixels, strict=True))
    if arguments.json:
        report = {
            "model": arguments.model,
            "data": folder.root.name,
            "split": arguments.split,
            "images": len(folder),
            "miou": scores.miou(),
            "miou7": scores.miou7,
            "iou": iou,
            "pixels": pixels,
            "pixel_accuracy": scores.pixel_accuracy,
        }
        print(json.dumps(report))
        return
    for name, value in iou.items():
        shown = "   -" if value is None else f"{value:.3f}"
        print(f"{name:<14}{shown}{pixels[name]:>12,} pixels")
    print(f"mIoU {scores.miou():.3f}, mIoU-7 {scores.miou7:.3f}, pixel accuracy {scores.pixel_accuracy:.3f}")


def train_command(arguments: argparse.Namespace) -> None:
    """Train a network."""
    from .training.data import SegmentationFolder
    from .training.recipe import Recipe
    from .training.train import train

    recipe = Recipe.of([f"epochs={arguments.epochs}"] * bool(arguments.epochs) + arguments.set)
    folders = [SegmentationFolder(root, "train") for root in arguments.data]
    validated = [root for root in arguments.data if (root / "val.txt").exists()]
    train(
        zoo.card(arguments.model),
        folders,
        arguments.out,
        recipe,
        SegmentationFolder(validated[0], "val") if validated else None,
        start=arguments.start,
        resume=arguments.resume,
        workers=arguments.workers,
    )


def bench_command(arguments: argparse.Namespace) -> None:
    """Measure."""
    from .speed.bench import bench, markdown

    report = bench(arguments.model, arguments.quick, lambda line: print(f"measuring {line}", file=sys.stderr))
    print(json.dumps(report) if arguments.json else markdown(report))


def _load(arguments: argparse.Namespace) -> tuple["Segmenter", tuple[int | None, int | None, int | None]]:
    """The network and its settings, which are checked first: weights may have to be fetched."""
    from .loading import load

    settings = _check(arguments)
    return load(arguments.model, arguments.weights, precision=arguments.precision), settings


def _check(arguments: argparse.Namespace) -> tuple[int | None, int | None, int | None]:
    """Atrous rate, output stride and working size, if the network can have them."""
    from .segmenter import check_settings

    settings = (arguments.atrous_rate, arguments.output_stride, arguments.working_size)
    check_settings(zoo.card(arguments.model), *settings)
    return settings


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; what goes wrong on the user's side is one line on stderr and exit status 2."""
    arguments = parser().parse_args(argv)
    heap.keep_freed()
    try:
        arguments.run(arguments)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(_complaint(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _complaint(error: Exception) -> int:
    print(f"segmodels: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
