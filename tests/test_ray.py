"""The Ray engine on a cluster of two nodes on this machine. Skipped where Ray is not installed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.many import Job, photos_in, segment_many

ray = pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-ray.txt")
pytestmark = pytest.mark.ray

MODEL = "fcn_lite0"


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that works too, and one more node."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    cluster.second = cluster.add_node(num_cpus=1, **memory)  # type: ignore[attr-defined]
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_lost_node_loses_nothing(cluster: Any, tmp_path: Path, cat: Image.Image) -> None:
    """Half-way through a node is killed; every photo is done, and as the single process does it."""
    from segmodels.ray_engine import segment_on_ray

    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(24):
        cat.crop((10 * index, 0, 200 + 10 * index, 200)).save(folder / f"{index:02}.jpg")
    (folder / "bad.jpg").write_text("no photo")
    photos = photos_in([folder])
    outs = tmp_path / "alone", tmp_path / "cluster"
    for out in outs:
        out.mkdir()
    alone = {
        outcome.path: outcome for outcome in segment_many(Job(outs[0], MODEL), segmodels.load(MODEL), photos)
    }

    assert ray.cluster_resources()["CPU"] == 2
    together = []
    for outcome in segment_on_ray(Job(outs[1], MODEL), photos):
        together.append(outcome)
        if len(together) == 8:
            cluster.remove_node(cluster.second, allow_graceful=False)
            killed = time.monotonic()
    assert killed
    assert ray.cluster_resources()["CPU"] == 1

    assert sorted(outcome.path for outcome in together) == photos
    for outcome in together:
        assert outcome.problem == alone[outcome.path].problem
        if outcome.report:
            name = f"{outcome.path.stem}_labels.png"
            labels = [np.asarray(Image.open(out / name)) for out in outs]
            assert (labels[0] == labels[1]).all()
            assert outcome.report["outputs"]["labels"] == str(outs[1] / name)
