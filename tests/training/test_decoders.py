"""Decoders trained on cached features."""

import numpy as np
import pytest
import torch
from PIL import Image

from segmodels import load
from segmodels.models import registry
from segmodels.models.base import SegmentationNetwork
from segmodels.training.cached_features import CachedFeatures, cache_features, resize_labels, snapped_size
from segmodels.training.data import SegmentationFolder
from segmodels.training.decoders import (
    DecoderRecipe,
    Window,
    begin,
    moved_a_little,
    near_edges,
    predictions,
    train_decoder,
    trusted,
)

PUBLIC = "deeplabv3_mobilenetv2_google"
SIZE = (97, 65)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SegmentationFolder:
    """Eight photos of noise with a square of class 8 on the left."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for part in ("images", "labels"):
        (root / part).mkdir()
    for index in range(8):
        photo = generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        labels = np.zeros((64, 96), dtype=np.uint8)
        labels[16:48, 8:40] = 8
        Image.fromarray(photo).save(root / "images" / f"{index}.png")
        Image.fromarray(labels).save(root / "labels" / f"{index}.png")
    (root / "train.txt").write_text("\n".join(map(str, range(8))))
    return SegmentationFolder(root, "train")


@pytest.fixture(scope="module")
def features(folder: SegmentationFolder) -> CachedFeatures:
    path = folder.root / "cache" / "photos"
    cache_features(load(PUBLIC, precision="float32"), folder, path, 97, 16, True, seed=0)
    return CachedFeatures(path)


def public_network() -> SegmentationNetwork:
    return registry.build(PUBLIC).eval()


def test_cached_maps_are_the_backbones_of_the_photo_as_it_was_seen(
    folder: SegmentationFolder, features: CachedFeatures
) -> None:
    assert {entry.mirrored for entry in features.entries} == {True, False}
    for index in range(2):
        photo, labels = folder[index]
        if features.entries[index].mirrored:
            photo, labels = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), labels[:, ::-1]
        seen = load(PUBLIC, precision="float32").encode(photo, working_size=97)
        assert seen.working_size == features.entries[index].size == SIZE
        for own, cached in zip(seen.maps, features.maps(index, range(5)), strict=False):
            torch.testing.assert_close(own[0], cached.float(), atol=0.02, rtol=2e-3)
        square = features.labels([index])[0]
        assert (square == 8).float().mean().item() == pytest.approx((labels == 8).mean(), abs=0.02)
        left = bool((square[:, : SIZE[0] // 2] == 8).sum() > (square[:, SIZE[0] // 2 :] == 8).sum())
        assert left != features.entries[index].mirrored


def test_maps_that_are_not_asked_for_are_empty(features: CachedFeatures) -> None:
    maps = features.batch([0, 1], (4, 5))
    assert [map_.numel() == 0 for map_ in maps] == [True] * 4 + [False] * 2
    assert maps[4].shape == (2, 320, 5, 7)
    assert maps[5].shape == (2, 21, 5, 7)


def test_sides_are_multiples_of_32_plus_1() -> None:
    assert snapped_size((500, 375), 513) == (513, 385)
    assert snapped_size((333, 500), 513) == (353, 513)


def test_resized_labels_have_no_side_they_lean_to() -> None:
    labels = np.random.default_rng(0).integers(0, 21, (40, 60), dtype=np.uint8)
    assert np.array_equal(resize_labels(labels, (60, 40)), labels)
    assert np.array_equal(resize_labels(labels, (120, 80)), labels.repeat(2, 0).repeat(2, 1))
    ramp = np.arange(40, dtype=np.uint8)[:, None].repeat(60, 1)
    middles = (np.arange(97) + 0.5) * 40 / 97 - 0.5
    assert abs((resize_labels(ramp, (60, 97))[:, 0] - middles).mean()) < 0.02


def test_a_label_is_trusted_where_its_class_is_seen_in_a_cell_nearby() -> None:
    scores = torch.zeros(1, 21, 5, 5)
    scores[:, 0] = 1
    scores[0, 8, 2, 2] = 2  # one cell, at pixel 32
    labels = torch.full((1, 65, 65), 8, dtype=torch.uint8)
    counts = trusted(labels, scores, 16)[0] == 8
    assert counts[32, 32]
    assert counts[32, 55]
    assert counts[9, 32]
    assert not counts[32, 57]
    assert not counts[7, 32]
    labels[:] = 0
    assert (trusted(labels, scores, 16) == 0).all()


def test_near_an_edge_is_within_a_few_pixels_of_it() -> None:
    labels = torch.zeros(1, 65, 65, dtype=torch.uint8)
    labels[:, :, 32:] = 3
    columns = near_edges(labels, 8)[0, 10].nonzero().ravel() * 2
    assert columns.tolist() == list(range(24, 39, 2))


def test_a_window_holds_the_same_pixels_at_every_stride() -> None:
    window = Window(2, 4, 3, 5)
    pixels = torch.arange(129)[:, None] * 1000 + torch.arange(193)[None]
    whole = window.cut(pixels, 1)
    for stride in (2, 4, 8, 16):
        assert torch.equal(window.cut(pixels[::stride, ::stride], stride), whole[::stride, ::stride])


@pytest.mark.parametrize("name", ["unet_mobilenetv2", "deeplabv3plus_mobilenetv2"])
def test_what_is_decoded_in_a_window_is_what_is_decoded_there(name: str) -> None:
    torch.manual_seed(0)
    network = registry.build(name).eval()
    window = Window(2, 2, 6, 6)
    with torch.inference_mode():
        maps = network.encode(torch.randn(1, 3, 193, 193))
        whole = network.decode(maps)
        found = predictions(network.decoder, maps, DecoderRecipe(moved=0), window)[-1]
    assert found.stride is not None
    inner = slice(32 // found.stride, -32 // found.stride)
    torch.testing.assert_close(
        found.logits[..., inner, inner], window.cut(whole, found.stride)[..., inner, inner], atol=1e-4, rtol=1e-4
    )


def test_a_map_is_moved_by_whole_cells_and_not_too_far() -> None:
    torch.manual_seed(0)
    column = torch.arange(9.0).expand(50, 1, 9, 9)
    steps = (moved_a_little(column, 2) - column)[:, 0, 4, 2:-2]
    assert set(steps.unique().tolist()) == {-2, -1, 0, 1, 2}
    assert (steps == steps[:, :1]).all()
    assert torch.equal(moved_a_little(column, 0), column)


@pytest.mark.parametrize("name", registry.COMPACT)
def test_a_decoder_learns_and_what_is_the_public_networks_stays(name: str, features: CachedFeatures) -> None:
    torch.manual_seed(0)
    network, public = registry.build(name), public_network()
    begin(network, public)
    kept = {key: value.clone() for key, value in network.state_dict().items() if is_kept(key, name)}
    losses = train_decoder(network, [features], DecoderRecipe(steps=12, batch=2, window=5), 21)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in kept.items())
    assert kept
    assert all(not parameter.isnan().any() for parameter in network.parameters())


def is_kept(key: str, name: str) -> bool:
    """Whether a weight is not to be trained: the backbone's, the public head's, and FCN's interpolation."""
    parts = {
        "fcn_mobilenetv2": ("decoder.head.", "decoder.score.", "decoder.upsamples."),
        "unet_mobilenetv2": ("decoder.bottom.", "decoder.score."),
    }
    return key.startswith(("backbone.", *parts.get(name, ())))
