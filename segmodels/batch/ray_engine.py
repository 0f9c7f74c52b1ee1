"""The same work on a Ray cluster: Ray Data over a pool of actors that each hold one Segmenter.

All machines must see the photos and the output folder under the same path. Ray is an optional requirement.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .job import Job, Outcome, PhotoWriter
from .local_engine import segment_photo

BATCH = 4
"""Photos that an actor takes at a time, and has to do again if it dies."""


class SegmentingActor:
    """Holds one Segmenter, on one core: so many photos at a time are faster than many cores on one photo."""

    def __init__(self, job: Job) -> None:
        self.writer = PhotoWriter(job, job.load())

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = [segment_photo(self.writer, Path(path)) for path in batch["path"]]
        return {
            "path": [str(outcome.path) for outcome in outcomes],
            "report": [json.dumps(outcome.report) for outcome in outcomes],
            "problem": [outcome.problem or "" for outcome in outcomes],
        }


def segment_on_ray(job: Job, photos: Sequence[Path]) -> Iterator[Outcome]:
    """The photos, in the order in which they are done, on the cluster that RAY_ADDRESS names or else on this machine.

    What a machine was doing when it was lost is done again elsewhere.

    Raises:
        ModuleNotFoundError: if Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--engine ray needs Ray: pip install -r requirements-ray.txt") from None

    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    everywhere = replace(
        job,
        out=job.out.absolute(),
        model=str(Path(job.model).absolute()) if Path(job.model).is_file() else job.model,
        weights=job.weights and str(Path(job.weights).absolute()),
    )
    named = {str(path.absolute()): path for path in photos}  # a link is a photo of its own
    batches = -(-len(photos) // BATCH)
    actors = max(min(int(ray.cluster_resources().get("CPU", 1)), batches), 1)
    paths = ray.data.from_items([{"path": path} for path in named], override_num_blocks=batches)
    done = paths.map_batches(
        SegmentingActor,
        fn_constructor_args=(everywhere,),
        batch_size=BATCH,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    for row in done.iter_rows():
        path, report = named[row["path"]], json.loads(row["report"])
        yield Outcome(path, report and job.with_path(report, path), row["problem"] or None)
