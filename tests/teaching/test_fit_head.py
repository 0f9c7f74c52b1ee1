"""New classes from strokes: the layer against solvers and sums of its own, and what strokes may be."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

import segmodels
from segmodels import Segmenter
from segmodels.cli import main
from segmodels.labels import ClassList
from segmodels.models import registry
from segmodels.models.score_layers import ScoreLayers
from segmodels.models.taught import backbone_maps
from segmodels.teaching.backbones import random_backbone
from segmodels.teaching.regression import L2, solve
from segmodels.teaching.strokes import cells_under

from ..helpers import at_once

Strokes = NDArray[np.uint8]
BASE = registry.DEFAULT_MODEL


@pytest.fixture(scope="module")
def base() -> Segmenter:
    return segmodels.load(BASE)


def painted(size: tuple[int, int], *lines: tuple[int, Sequence[tuple[int, int]]], width: int = 14) -> Strokes:
    """Lines of a brush, each with its class, on a photo of ``size`` (width, height); later ones cover earlier ones."""
    image = Image.new("L", size, 255)
    for index, points in lines:
        ImageDraw.Draw(image).line(list(points), fill=index, width=width)
    return np.array(image)


def halves(width: int = 256, height: int = 192) -> Image.Image:
    """A photo whose left half is a red and whose right half a blue texture."""
    pixels = np.random.default_rng(1).integers(0, 20, (height, width, 3)).astype(np.uint8)
    pixels[:, : width // 2, 0] += 180
    pixels[:, width // 2 :, 2] += 180
    return Image.fromarray(pixels)


def zones(left: int = 0) -> Strokes:
    """Each half of ``halves`` painted, but for a strip in the middle: the left one with the class ``left``."""
    strokes = np.full((192, 256), 255, dtype=np.uint8)
    strokes[:, :96], strokes[:, 160:] = left, 1 - left
    return strokes


def told_apart(labels: NDArray[np.uint8], left: int = 0) -> bool:
    """Whether both halves of ``halves`` have their class to the last pixel, the strip in the middle apart."""
    return bool((labels[:, :96] == left).all() and (labels[:, 160:] == 1 - left).all())


# --- The solver ------------------------------------------------------------------------------------------------------


def problem(cells: int = 60, channels: int = 8, num_classes: int = 3) -> tuple[Tensor, Tensor]:
    """Cells of overlapping classes, more of some than of others."""
    generator = torch.Generator().manual_seed(3)
    classes = (torch.rand(cells, generator=generator) ** 2 * num_classes).long()
    centres = torch.randn(num_classes, channels, generator=generator, dtype=torch.float64)
    features = centres[classes] + torch.randn(cells, channels, generator=generator, dtype=torch.float64)
    return 5 + features * torch.linspace(0.1, 20, channels, dtype=torch.float64), classes


def newton(x: Tensor, classes: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The same problem for standardised features by Newton's method, derivatives by autograd."""
    share = 1 / torch.bincount(classes)[classes] / num_classes

    def loss(parameters: Tensor) -> Tensor:
        weight, bias = parameters.view(num_classes, -1).split([x.shape[1], 1], dim=1)
        errors = nn.functional.cross_entropy(x @ weight.T + bias.T, classes, reduction="none")
        return (share * errors).sum() + L2 / 2 * weight.square().sum()

    parameters = torch.zeros(num_classes * (x.shape[1] + 1), dtype=torch.float64)
    for _ in range(30):
        gradient = torch.func.grad(loss)(parameters)
        hessian = torch.func.hessian(loss)(parameters)
        parameters = parameters - torch.linalg.lstsq(hessian, gradient[:, None], driver="gelsd").solution[:, 0]
    weight, bias = parameters.view(num_classes, -1).split([x.shape[1], 1], dim=1)
    return weight, bias[:, 0]


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_the_layer_is_newton_s_minimum(num_classes: int) -> None:
    features, classes = problem(num_classes=num_classes)
    mean, deviation = features.mean(0), features.std(0, correction=0)
    weight, bias = newton((features - mean) / deviation, classes, num_classes)
    found = solve(features, classes, num_classes)
    scores = features @ found.weight.T + found.bias
    expected = (features - mean) / deviation @ weight.T + bias
    # The same number added to all scores changes nothing.
    assert (scores - scores.mean(1, keepdim=True)).numpy() == pytest.approx(
        (expected - expected.mean(1, keepdim=True)).numpy(), abs=1e-3
    )


def test_every_class_counts_the_same_however_many_cells_it_has() -> None:
    features, classes = problem()
    longer = torch.cat([features, *[features[classes == 0]] * 4])
    mean, deviation = features.mean(0), features.std(0, correction=0)
    once = solve((features - mean) / deviation, classes, 3)
    more = solve(
        (longer - mean) / deviation, torch.cat([classes, torch.zeros(4 * int((classes == 0).sum())).long()]), 3
    )
    # Standardised otherwise, so not quite the same weights; but hardly another answer.
    both = [((features - mean) / deviation @ each.weight.T + each.bias).argmax(1) for each in (once, more)]
    assert (both[0] == both[1]).double().mean() > 0.95


def test_features_that_are_the_same_everywhere_get_no_weight() -> None:
    features, classes = problem()
    constant = torch.cat([features, torch.full((len(features), 1), 7.3, dtype=torch.float64)], dim=1)
    found = solve(constant, classes, 3)
    assert found.weight[:, -1].tolist() == [0, 0, 0]
    assert found.weight[:, :-1].numpy() == pytest.approx(solve(features, classes, 3).weight.numpy())


def test_a_class_without_cells_never_wins() -> None:
    features, classes = problem(num_classes=2)
    found = solve(features, classes * 2, 3)
    scores = 100 * torch.randn(200, features.shape[1], dtype=torch.float64) @ found.weight.T + found.bias
    assert 1 not in scores.argmax(1)
    assert set(scores.argmax(1).tolist()) == {0, 2}


# --- Strokes and the cells under them --------------------------------------------------------------------------------


def test_cells_under_strokes_are_those_counted_by_hand() -> None:
    strokes = np.full((4, 6), 255, dtype=np.uint8)
    strokes[0, 0] = 1  # one pixel of the first cell
    strokes[2, 4:], strokes[3, 5] = 0, 2  # two against one in the last
    cells, classes = cells_under(strokes, (2, 3), 3)
    assert cells.tolist() == [0, 5]
    assert classes.tolist() == [1, 0]


def test_photos_smaller_or_larger_than_the_map_have_their_cells_where_they_are() -> None:
    for size in ((40, 50), (97, 61), (1000, 700)):
        strokes = np.full(size[::-1], 255, dtype=np.uint8)
        strokes[: size[1] // 2, : size[0] // 2] = 1
        cells, _ = cells_under(strokes, (48, 64), 2)
        rows, columns = cells // 64, cells % 64
        assert (rows.max(), columns.max()) <= (24, 32)
        assert (rows.max(), columns.max()) >= (22, 30)


def test_later_strokes_cover_earlier_ones(base: Segmenter) -> None:
    photo = halves()
    below = painted(photo.size, (0, [(20, 20), (100, 150)]), (1, [(150, 20), (230, 150)]))
    above = painted(photo.size, (1, [(20, 20), (100, 150)]), (0, [(20, 20), (100, 150)]), (1, [(150, 20), (230, 150)]))
    assert (below == above).all()
    first, second = (segmodels.fit_head(base, [(photo, strokes)], ["red", "blue"]) for strokes in (below, above))
    assert first.fit.cells == second.fit.cells
    assert (first(photo).labels == second(photo).labels).all()


# --- The network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [(32,), (16,), (8,), (4,), (32, 16, 8), (4, 32)])
def test_what_can_be_told_apart_is_told_apart(base: Segmenter, strides: tuple[int, ...]) -> None:
    """Two textures: the border apart, every pixel is right, at any choice of strides."""
    photo = halves()
    strokes = zones()
    taught = segmodels.fit_head(base, [(photo, strokes)], ["red", "blue"], strides)
    labels = taught(photo).labels
    assert taught.fit.accuracy == 1
    assert set(taught.fit.cells) == {"red", "blue"}
    assert min(taught.fit.cells.values()) > 0
    assert told_apart(labels)


def test_scores_are_one_linear_layer_on_the_maps_side_by_side() -> None:
    """Interpolating scores is scoring what was interpolated."""
    layers = ScoreLayers((4, 6, 8, 10), (4, 8, 16, 32), (8, 32), 3)
    features = [
        torch.randn(1, width, 96 // stride, 128 // stride) for width, stride in ((4, 4), (6, 8), (8, 16), (10, 32))
    ]
    weight, bias = torch.randn(3, 16), torch.randn(3)
    layers.put(weight, bias)
    linear = torch.einsum("kc,nchw->nkhw", weight, layers.joined(features)) + bias[:, None, None]
    assert layers.joined(features).shape == (1, 16, 12, 16)
    assert layers(features).detach().numpy() == pytest.approx(linear.numpy(), abs=1e-5)


def test_the_strides_are_those_that_the_backbones_have_without_dilation() -> None:
    for name in registry.compact_models():
        assert backbone_maps(registry.card(name)).strides == (2, 4, 8, 16, 32)
    assert backbone_maps(registry.card("unet_width24")).strides == (1, 2, 4, 8, 16)
    assert backbone_maps(registry.card("fcn8s_vgg16")).strides == (2, 4, 8, 16, 32)


@pytest.mark.parametrize("name", [registry.compact_models()[-1], "unet_width24"])
def test_other_backbones_can_be_taught(name: str) -> None:
    photo = halves()
    strokes = zones()
    labels = segmodels.fit_head(name, [(photo, strokes)], ["red", "blue"], (16, 8))(photo).labels
    assert told_apart(labels)


def test_random_weights_are_the_same_every_time_and_their_features_are_alive() -> None:
    first, second = (random_backbone(BASE, precision="float32").encode(halves()).maps for _ in range(2))
    for map_, again in zip(first, second, strict=True):
        assert torch.equal(map_, again)
        assert 0.1 < map_.std() < 10


def test_random_weights_are_the_same_while_another_thread_draws_from_torchs_own_numbers() -> None:
    """As every network does that is loaded meanwhile."""
    alone = random_backbone(BASE, precision="float32").encode(halves()).maps
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            torch.rand(1)

    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(draw)
        try:
            beside = random_backbone(BASE, precision="float32").encode(halves()).maps
        finally:
            stop.set()
        drawing.result()
    assert all(map(torch.equal, beside, alone))


def test_the_trained_backbone_knows_what_the_random_one_does_not(astronaut: Image.Image, base: Segmenter) -> None:
    """The helmet in front of the astronaut, from two strokes on it and five beside it; its box is known."""
    helmet = [(310, 470), (340, 400), (430, 390)], [(380, 450), (470, 470)]
    others = (
        [(60, 100), (80, 300)],
        [(330, 60), (300, 130)],
        [(230, 50), (220, 150)],
        [(100, 320), (220, 330), (240, 440)],
        [(400, 310), (490, 310)],
    )
    strokes = painted(astronaut.size, *((1, line) for line in helmet), *((0, line) for line in others))
    wrong = []
    for backbone in (base, random_backbone(BASE)):
        labels = segmodels.fit_head(backbone, [(astronaut, strokes)], ["other", "helmet"])(astronaut).labels
        assert (labels[420:500, 320:450] == 1).mean() > 0.9
        outside = labels.copy()
        outside[330:, 260:] = 0
        wrong.append((outside == 1).mean())
    assert wrong[0] < 0.01
    assert wrong[1] > 2 * wrong[0]


def test_strokes_on_several_photos_are_learned_together(base: Segmenter) -> None:
    """On the first photo only red was painted, on the second only blue."""
    photo = halves()
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    red, blue = zones(), zones(1)
    red[:, 128:] = blue[:, 128:] = 255
    taught = segmodels.fit_head(base, [(photo, red), (mirrored, blue)], ["red", "blue"])
    labels = taught(photo).labels
    assert told_apart(labels)


def test_features_in_place_of_a_photo_give_the_same(base: Segmenter) -> None:
    photo = halves()
    strokes = zones()
    features = base.encode(photo, 32)
    taught = segmodels.fit_head(base, [(features, strokes)], ["red", "blue"])
    assert (
        taught.decode(features).labels == segmodels.fit_head(base, [(photo, strokes)], ["red", "blue"])(photo).labels
    ).all()


@pytest.mark.parametrize("name", [BASE, registry.compact_models()[-1], "unet_width24", "random"])
def test_a_saved_layer_is_loaded_as_a_network(name: str, tmp_path: Path, astronaut: Image.Image) -> None:
    base = random_backbone(BASE) if name == "random" else segmodels.load(name)
    strokes = painted(astronaut.size, (1, [(310, 470), (340, 400), (430, 390)]), (0, [(60, 100), (80, 300)]))
    classes = ClassList(("other", "helmet"), ((1, 2, 3), (200, 100, 50)))
    taught = segmodels.fit_head(base, [(astronaut, strokes)], classes, (16, 8))
    file = tmp_path / "helmet.safetensors"
    taught.save(file)
    loaded = segmodels.load(file)
    assert loaded.card.class_list == classes
    assert loaded.card.origin == f"taught by strokes, on the backbone of {BASE if name == 'random' else name}"
    assert (loaded(astronaut).labels == taught(astronaut).labels).mean() > 0.999
    if name != "random":
        assert file.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("names", "left_alone"), [(["cup", "background"], 1), (["background", "cup"], 0), (["other", "cup"], 0)]
)
def test_a_class_called_background_is_left_without_colour_and_else_the_first(
    base: Segmenter, names: list[str], left_alone: int
) -> None:
    photo = halves()
    result = segmodels.fit_head(base, [(photo, zones())], names)(photo)
    same = (np.asarray(result.overlay(photo)) == np.asarray(photo)).all(axis=2)
    assert (same == (result.labels == left_alone)).mean() > 0.999


def test_the_command_line_segments_a_folder_with_a_taught_layer(
    tmp_path: Path, base: Segmenter, astronaut: Image.Image
) -> None:
    strokes = painted(astronaut.size, (1, [(310, 470), (340, 400), (430, 390)]), (0, [(60, 100), (80, 300)]))
    segmodels.fit_head(base, [(astronaut, strokes)], ["background", "helmet"]).save(tmp_path / "mine.safetensors")
    (tmp_path / "photos").mkdir()
    for number in range(2):
        astronaut.save(tmp_path / "photos" / f"{number}.png")
    out = tmp_path / "out"
    main(["segment", str(tmp_path / "photos"), "--model", str(tmp_path / "mine.safetensors"), "--out", str(out)])
    labels = np.asarray(Image.open(out / "1_labels.png"))
    assert labels.shape == (512, 512)
    assert set(np.unique(labels).tolist()) == {0, 1}


def test_strokes_of_one_class_give_it_the_whole_photo(base: Segmenter) -> None:
    photo = halves()
    taught = segmodels.fit_head(base, [(photo, painted(photo.size, (1, [(20, 20), (90, 170)])))], ["a", "b", "c"])
    assert taught(photo).shares == {"b": 1.0}


def test_one_pixel_is_a_stroke(base: Segmenter) -> None:
    photo = halves()
    strokes = np.full((192, 256), 255, dtype=np.uint8)
    strokes[90, 30], strokes[90, 220] = 0, 1
    taught = segmodels.fit_head(base, [(photo, strokes)], ["red", "blue"])
    labels = taught(photo).labels
    assert taught.fit.cells == {"red": 1, "blue": 1}
    assert taught.fit.accuracy == 1  # of the two cells; in the photo their neighbours have a say
    assert set(np.unique(labels)) == {0, 1}


def test_six_classes_on_forty_megapixels(base: Segmenter) -> None:
    """Six stripes of six colours, each with one stroke across."""
    width, height = 8000, 5000
    colours = np.array([[220, 30, 30], [30, 200, 30], [30, 30, 220], [220, 220, 40], [40, 220, 220], [240, 240, 240]])
    pixels = np.repeat(colours.astype(np.uint8), [1334, 1334, 1333, 1333, 1333, 1333], axis=0)[None].repeat(
        height, axis=0
    )
    strokes = np.full((height, width), 255, dtype=np.uint8)
    for index in range(6):
        strokes[1000:4000, index * 1333 + 500 : index * 1333 + 800] = index
    names = ["red", "green", "blue", "yellow", "cyan", "white"]
    taught = segmodels.fit_head(base, [(pixels, strokes)], names)
    labels = taught(pixels).labels
    assert labels.shape == (height, width)
    assert [int(labels[2500, index * 1333 + 650]) for index in range(6)] == list(range(6))
    assert taught.fit.accuracy > 0.98


def test_eight_at_once_see_only_their_own(base: Segmenter) -> None:
    photo = halves()
    features = base.encode(photo, 32)
    found: dict[int, tuple[tuple[str, ...], NDArray[np.uint8]]] = {}

    def visit(visitor: int) -> None:
        strokes = zones(visitor % 2)
        for _ in range(3):
            taught = segmodels.fit_head(base, [(features, strokes)], [f"a{visitor}", f"b{visitor}"], (32, 16))
            found[visitor] = taught.card.classes, taught(photo).labels

    at_once(visit, 8)
    for visitor in range(8):
        names, labels = found[visitor]
        assert names == (f"a{visitor}", f"b{visitor}")
        assert told_apart(labels, visitor % 2)
    assert base.card.name == BASE
    assert len(base(photo).classes) == 21


@pytest.mark.parametrize(
    ("strokes", "classes", "strides", "sentence"),
    [
        (np.zeros((10, 10), dtype=np.uint8), ["a", "b"], (32,), "the photo's size"),
        (np.zeros((192, 256), dtype=np.int64), ["a", "b"], (32,), "uint8 array"),
        (np.zeros((192, 256, 3), dtype=np.uint8), ["a", "b"], (32,), "uint8 array"),
        (np.full((192, 256), 2, dtype=np.uint8), ["a", "b"], (32,), "the class 2"),
        (np.full((192, 256), 255, dtype=np.uint8), ["a", "b"], (32,), "nothing was painted"),
        (np.zeros((192, 256), dtype=np.uint8), ["a"], (32,), "2 to 255 classes"),
        (np.zeros((192, 256), dtype=np.uint8), ["a", "a"], (32,), "two classes are called a"),
        (np.zeros((192, 256), dtype=np.uint8), ["a", " "], (32,), "is no name"),
        (np.zeros((192, 256), dtype=np.uint8), ["a", "b"], (7,), "no features at stride 7"),
        (np.zeros((192, 256), dtype=np.uint8), ["a", "b"], (), "one or more"),
        (np.zeros((192, 256), dtype=np.uint8), ["a", "b"], (8, 8), "each once"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    base: Segmenter, strokes: Strokes, classes: list[str], strides: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        segmodels.fit_head(base, [(halves(), strokes)], classes, strides)
    with pytest.raises(ValueError, match="nothing was painted"):
        segmodels.fit_head(base, [], ["a", "b"])
