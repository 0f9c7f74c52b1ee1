"""The Ray engine on a cluster of two nodes on this machine. Skipped where Ray is not installed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.batch import ray_engine
from segmodels.batch.job import Job
from segmodels.batch.local_engine import photos_in, segment_many

ray = pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-ray.txt")
pytestmark = pytest.mark.ray

MODEL = "fcn_mobilenetv2"


@pytest.fixture
def nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of two nodes, of which the first is the head, and its second node."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")  # before there is a second to join
    second = cluster.add_node(num_cpus=1, **memory)
    cluster.wait_for_nodes()
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


def test_a_lost_node_loses_nothing(
    nodes: tuple[Any, Any], tmp_path: Path, cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-way through, a node at work is killed; every photo is done, and as the single process does it."""
    cluster, second = nodes
    folder, alone, together, marks = (tmp_path / name for name in ("photos", "alone", "together", "marks"))
    for made in (folder, alone, together, marks):
        made.mkdir()
    for index in range(32):
        cat.crop((5 * index, 0, 200 + 5 * index, 200)).save(folder / f"{index:02}.jpg")
    (folder / "link.jpg").symlink_to(folder / "00.jpg")  # a photo of its own
    (folder / "bad.jpg").write_text("no photo")
    photos = photos_in([folder])

    expected = {
        outcome.path: outcome
        for outcome in segment_many(Job(alone, MODEL, pictures=("labels",)), segmodels.load(MODEL), photos)
    }

    class Marking(ray_engine.SegmentingActor):
        """Leaves the name of its node, and takes its time."""

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            time.sleep(0.5)
            (marks / ray.get_runtime_context().get_node_id()).touch()
            return super().__call__(batch)

    done_when_killed = []

    def kill() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            done = len(list(together.glob("*_labels.png")))
            if done >= 8 and (marks / second.node_id).exists():
                break
            time.sleep(0.05)
        done_when_killed.append(done)
        cluster.remove_node(second, allow_graceful=False)

    monkeypatch.setattr(ray_engine, "SegmentingActor", Marking)
    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = list(ray_engine.segment_on_ray(Job(together, MODEL, pictures=("labels",)), photos))
    killer.join()

    assert 8 <= done_when_killed[0] < 32
    assert len(list(marks.iterdir())) == 2
    assert sorted(outcome.path for outcome in outcomes) == sorted(photos)
    for outcome in outcomes:
        assert outcome.problem == expected[outcome.path].problem
        if outcome.report:
            name = f"{outcome.path.stem}_labels.png"
            labels = [np.asarray(Image.open(out / name)) for out in (alone, together)]
            assert (labels[0] == labels[1]).all()
            assert outcome.report["outputs"]["labels"] == str(together / name)
