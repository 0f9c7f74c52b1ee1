"""What the Segment tab says of results of the bundled networks."""

from pathlib import Path

import pytest

from demo.segment import result_view
from demo.server.inference import segment_photo
from segmodels.insight.cost import Cost
from segmodels.models import registry

from ..conftest import EXAMPLES

STREETS = "deeplabv3plus_mobilenetv2_streets"
DRIVES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "camvid" / "images"
"""CamVid's photos, which do not belong to the repository."""


def said(path: str, model: str) -> str:
    return result_view.what_ran(registry.card(model), segment_photo(path, model, None, None), Cost(1, 1, ()), False)


@pytest.mark.parametrize("photo", ["coffee", "cat", "raft"])
def test_the_network_for_streets_says_that_it_sees_none(photo: str) -> None:
    assert "No street?" in said(str(EXAMPLES / f"{photo}.jpg"), STREETS)
    assert "No street?" not in said(str(EXAMPLES / f"{photo}.jpg"), "fcn_mobilenetv2")


@pytest.mark.skipif(not DRIVES.is_dir(), reason="needs photos of CamVid")
def test_it_says_nothing_of_the_kind_on_streets() -> None:
    for photo in sorted(DRIVES.iterdir())[::100]:
        assert "No street?" not in said(str(photo), STREETS)
