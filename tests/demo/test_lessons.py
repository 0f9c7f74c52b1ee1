"""The numbers behind the lessons' figures, against torch's own layers, the papers' figures and brute force."""

import itertools
import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import nn

import segmodels
from demo.components.figures import contents
from demo.components.markup import in_words
from demo.components.templates import render
from demo.lessons import (
    LESSONS,
    _bounded,
    any_size,
    aspp,
    atrous,
    crf,
    from_scratch,
    geometry,
    resampling,
    separable,
    skips,
    thirty_pictures,
    tiles,
    touching_cells,
    train_one,
    unet_path,
)
from demo.lessons.connections import connections, ones_everywhere
from demo.lessons.glossary import TERMS, terms_in
from demo.lessons.lesson import Lesson
from demo.lessons.papers import PAPERS
from demo.server import cache
from segmodels import Segmenter
from segmodels.crf.mean_field import SampledPhoto, mean_field
from segmodels.crf.parameters import CRF, REFERENCE_SIDE
from segmodels.inference.label_map import label_map
from segmodels.insight.cost import count
from segmodels.labels import VOC
from segmodels.models import registry
from segmodels.models.heads import SpatialPyramidPooling
from segmodels.training import instances
from tools.weights.cells import kept

from ..conftest import EXAMPLES
from ..crf import dense
from ..helpers import shown

CAT = str(EXAMPLES / "cat.jpg")
UPLOAD = {"path": CAT}


@dataclass(frozen=True)
class Change:
    """What somebody does to a lesson's control, and what its figure says then."""

    lesson: int
    control: str
    value: Any
    words: str


CHANGES = (
    Change(1, "Side of the photo (pixels)", 352, "the classifier fails, the convolution gives scores of 5 × 5 × 20"),
    Change(2, "Convolution", "transposed", "(5 − 1)·2 − 2·1 + 3 = 9"),
    Change(3, "Zoom", 3, "8s finds cat"),
    Change(4, "Side of the tile", 588, "labels for 404 × 404"),
    Change(5, "Height of the map", 3, "256 maps of 17 × 3 = 13,056 numbers in, 256 × 21 = 5,376 out"),
    Change(6, "Atrous rate", 32, "Over all positions 11% of the taps land on the map"),
    Change(7, "Atrous rate", 12, "rate 36 finds its own cell alone"),
    Change(8, "Channels out", 1, "here it needs more, 104.0%"),
    Change(9, "Updates", 0, "0 updates of the CRF cat"),
    Change(10, "The photo is seen", "both at 256 pixels", "otherwise than at its own 513 × 337"),
    Change(11, "Enlarged", "corner to corner", "the dot ends up exactly where it was"),
    Change(12, "Strides", "4", "of the boxes around them taken for the rocket"),
    Change(13, "w₀", 0, "0.0% of the pixels weigh twice as much as others, or more; the largest weight is 1.0"),
    Change(14, "Deviation (pixels)", 0, "Pixels move by 0 pixels in the median, by 0 at most"),
    Change(15, "Overlap (pixels)", 96, "0.00% of the pixels get another class than in one piece"),
)
"""One for each lesson: the answers to some of their questions."""


def settings(lesson: int, **changed: Any) -> list[Any]:
    """What a lesson's figure is drawn from when the page opens, or with some controls changed, by label."""
    chosen = LESSONS[lesson - 1]
    values = [changed.get(str(control.label), control.value) for control in chosen.controls()]
    return [UPLOAD, *values] if chosen.on_photo else values


def draw(lesson: Lesson, *values: Any) -> str:
    """A lesson's figure as the page shows it, or the sentence in its place."""
    return "".join(shown(lesson.figure, *values, on_photo=lesson.on_photo).values())


def drawn(lesson: int, **changed: Any) -> ElementTree.Element:
    """A lesson's figure; it must be well formed."""
    return ElementTree.fromstring(draw(LESSONS[lesson - 1], *settings(lesson, **changed)))


def caption(figure: ElementTree.Element) -> str:
    found = figure.find("figcaption")
    assert found is not None
    return "".join(found.itertext()).replace("\u00a0", " ")


def styled(figure: ElementTree.Element, style: str) -> int:
    """How many shapes of a style there are in a figure."""
    return sum(element.get("class") == style for element in figure.iter())


def test_names_in_addresses() -> None:
    slugs = [lesson.slug for lesson in LESSONS]
    assert slugs[:4] == ["any-size", "down-and-up", "skips", "u-nets-path"]
    assert len(set(slugs)) == len(slugs)


def test_there_is_a_change_to_check_for_each_lesson() -> None:
    assert [change.lesson for change in CHANGES] == list(range(1, len(LESSONS) + 1))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: LESSONS[change.lesson - 1].name)
def test_a_control_changes_its_figure(change: Change) -> None:
    before, after = drawn(change.lesson), drawn(change.lesson, **{change.control: change.value})
    assert ElementTree.tostring(before) != ElementTree.tostring(after)
    assert change.words in caption(after)


@pytest.mark.parametrize("lesson", range(1, len(LESSONS) + 1))
def test_every_drawing_has_a_text_alternative(lesson: int) -> None:
    figure = drawn(lesson)
    drawings = figure.findall(".//{http://www.w3.org/2000/svg}svg") + figure.findall(".//div[@class='picture']")
    assert drawings
    assert all(drawing.get("role") == "img" and drawing.get("aria-label") for drawing in drawings)


@pytest.mark.parametrize("lesson", range(1, len(LESSONS) + 1))
@pytest.mark.parametrize("junk", [None, -1, 10**9, 2.5, float("nan"), "<b>", [1], True])
def test_forged_values_are_answered_with_a_sentence(lesson: int, junk: Any) -> None:
    values = settings(lesson)
    for index in range(LESSONS[lesson - 1].on_photo, len(values)):
        forged = [*values[:index], junk, *values[index + 1 :]]
        answer = draw(LESSONS[lesson - 1], *forged)
        assert "must be" in answer
        assert "<figure" not in answer


def test_no_photo_and_a_bad_photo(tmp_path: Any) -> None:
    (tmp_path / "bad.jpg").write_text("no photo")
    for lesson in LESSONS:
        if lesson.on_photo:
            values = [control.value for control in lesson.controls()]
            assert "Drop in a photo" in draw(lesson, None, *values)
            assert "problem" in shown(lesson.figure, {"path": str(tmp_path / "bad.jpg")}, *values)


# 1: from classifier to dense prediction


@pytest.fixture(scope="module")
def scores() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(6, 4, 1)


def test_the_convolution_is_the_classifier_at_every_place(scores: nn.Conv2d) -> None:
    linear = any_size.classifier(scores)
    x = torch.randn(1, 6, 9, 11)
    map_ = any_size.as_convolution(linear)(x)
    assert map_.shape == (1, 4, 3, 5)
    for row, column in itertools.product(range(3), range(5)):
        window = x[:, :, row : row + 7, column : column + 7]
        torch.testing.assert_close(map_[:, :, row, column], linear(window.flatten(1)), rtol=1e-4, atol=1e-5)


def test_the_classifier_takes_the_mean_of_the_trained_scores(scores: nn.Conv2d) -> None:
    x = torch.randn(1, 6, 7, 7)
    with torch.no_grad():
        expected = scores(x).mean((2, 3))
    torch.testing.assert_close(any_size.classifier(scores)(x.flatten(1)), expected, rtol=1e-4, atol=1e-5)


def test_the_classifier_fails_in_torchs_own_words(scores: nn.Conv2d) -> None:
    x = torch.randn(1, 6, 8, 8)
    linear = any_size.classifier(scores)
    with pytest.raises(RuntimeError) as caught:
        linear(x.flatten(1))
    assert any_size.run(nn.Sequential(nn.Flatten(), linear), x) == (None, escape(str(caught.value)))
    notes = "".join(drawn(1, **{"Side of the photo (pixels)": 256}).itertext())
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(7 * 7 * 256, 20)(torch.ones(1, 8 * 8 * 256))
    assert f"torch says: {caught.value}" in notes


def test_scores_are_drawn_cell_by_cell() -> None:
    figure = drawn(1, **{"Side of the photo (pixels)": 416})  # 13 cells, a kernel of 7: 7 x 7 places
    assert styled(figure, "score") == 49


# 2: down- and upsampling

GEOMETRIES = list(itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (4, 5, 7)))


@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), GEOMETRIES)
def test_the_size_formula_is_torchs(kernel: int, stride: int, padding: int, side: int) -> None:
    x = torch.zeros(1, 1, side, side)
    for kind, layer in ((resampling.DOWN, nn.Conv2d), (resampling.UP, nn.ConvTranspose2d)):
        words, size = resampling.formula(kind, side, kernel, stride, padding)
        assert words.endswith(f"= {size}")
        try:
            expected = layer(1, 1, kernel, stride, padding)(x).shape[-1]
        except RuntimeError:
            assert size < 1
            continue
        assert size == expected


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (5, 3, 2), (2, 2, 0), (4, 2, 1)])
def test_connections_by_brute_force(kernel: int, stride: int, padding: int) -> None:
    side = 6
    strided = connections(resampling.build(resampling.DOWN, kernel, stride, padding), side, side)[:, :, 0]
    transposed = connections(resampling.build(resampling.UP, kernel, stride, padding), side, side)[:, :, 0]
    for made, (i, j) in itertools.product((strided, transposed), itertools.product(range(side), repeat=2)):
        for o, p in itertools.product(range(made.shape[2]), repeat=2):
            if made is strided:  # the input cell lies in the window of the output cell
                steps = (i + padding - o * stride, j + padding - p * stride)
            else:  # the output cell lies in the stamp of the input cell
                steps = (o + padding - i * stride, p + padding - j * stride)
            assert made[i, j, o, p] == all(0 <= step < kernel for step in steps)


def test_connections_says_what_torch_says() -> None:
    layer = ones_everywhere(nn.Conv2d(1, 1, 5))
    with pytest.raises(RuntimeError) as torchs:
        layer(torch.ones(1, 1, 3, 3))
    with pytest.raises(ValueError, match="torch says: ") as ours:
        connections(layer, 3, 3)
    assert str(torchs.value) in str(ours.value)


def test_the_chequerboard_and_what_mends_it() -> None:
    def counts(**changed: Any) -> list[str]:
        figure = drawn(2, Convolution=resampling.UP, Step=64, **changed)
        grid = figure.findall(".//{http://www.w3.org/2000/svg}svg")[1]
        return [text.text or "" for text in grid.iter("{http://www.w3.org/2000/svg}text")]

    assert set(counts(Kernel=3)) == {"1", "2", "4"}
    assert set(counts(Kernel=2, Padding=0)) == {"1"}
    assert counts(Kernel=4).count("4") == 64  # 10 x 10 without the border


# 3: skips


def test_the_last_prediction_is_the_networks(cat: Image.Image) -> None:
    found = skips.predictions(CAT)
    features = cache.features(CAT, skips.MODEL, None)
    width, height = features.working_size
    assert {stride: tuple(logits.shape[1:]) for stride, logits in found.items()} == {
        stride: (-(-height // stride), -(-width // stride)) for stride in (32, 16, 8)
    }
    labels = label_map(found[8], (300, 451), aligned_size=features.aligned_size)
    assert (labels == cache.segmenter(skips.MODEL)(cat).labels).mean() > 0.999


def test_how_many_pixels_differ_and_where_is_counted() -> None:
    corners = cache.features(CAT, skips.MODEL, None).aligned_size
    found = skips.predictions(CAT)
    smooth = {stride: label_map(logits, (300, 451), aligned_size=corners) for stride, logits in found.items()}
    cells = {stride: enlarged_cells(logits.argmax(0).numpy()) for stride, logits in found.items()}
    for enlarged, maps in ((skips.SMOOTH, smooth), (skips.CELLS, cells)):
        notes = "".join(drawn(3, Enlarged=enlarged).itertext())
        for stride in (32, 16):
            assert f"{np.mean(maps[stride] != maps[8]):.1%} of the pixels differ" in notes


def enlarged_cells(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cell in which the middle of each of 300 x 451 pixels lies."""
    rows, columns = (
        ((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip((300, 451), cells.shape, strict=True)
    )
    return cells[np.ix_(rows, columns)]


def test_near_an_edge_by_brute_force() -> None:
    labels = np.zeros((40, 50), dtype=np.uint8)
    labels[10:12, 30:] = 3
    near = skips.near_edges(labels)
    for row, column in itertools.product(range(40), range(50)):
        window = labels[max(row - 8, 0) : row + 9, max(column - 8, 0) : column + 9]
        assert near[row, column] == (len(np.unique(window)) > 1)


# 4: U-Net's path


def test_the_papers_figure_1() -> None:
    """Ronneberger et al., figure 1: the sizes on every box and arrow."""
    path = unet_path.path(572, 572, "valid")
    assert path.down == ((64, 568, 568), (128, 280, 280), (256, 136, 136), (512, 64, 64), (1024, 28, 28))
    assert path.below == ((512, 56, 56), (256, 104, 104), (128, 200, 200), (64, 392, 392))
    assert path.up == ((512, 52, 52), (256, 100, 100), (128, 196, 196), (64, 388, 388))
    assert path.logits[1:] == (388, 388)


def test_padded_sizes_are_halved_and_rounded_up() -> None:
    path = unet_path.path(301, 451, "same")
    assert path.down == tuple((64 * 2**n, -(-301 // 2**n), -(-451 // 2**n)) for n in range(5))
    assert path.below == path.up == path.down[-2::-1]
    assert path.logits == (21, 301, 451)


@pytest.mark.parametrize(("side", "sentence"), [(576, "even sides only"), (44, "too few for an unpadded U-Net")])
def test_tiles_that_do_not_work(side: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        unet_path.path(side, side, "valid")


def test_the_whole_photo() -> None:
    whole = unet_path.PHOTO
    assert caption(drawn(4, Input=whole, Convolutions="same")).startswith("451 × 300 pixels in, labels for 451 × 300")
    assert "451 x 300 leads to 447 x 296" in draw(LESSONS[3], *settings(4, Input=whole))


# 5: spatial pyramid pooling


@pytest.mark.parametrize("size", [(13, 17), (3, 3), (1, 1), (4, 8), (5, 2)])
def test_bins_lie_where_adaptive_pooling_puts_them(size: tuple[int, int]) -> None:
    reads = connections(SpatialPyramidPooling(), *size)
    expected = []
    for bins in (4, 2, 1):
        for i, j in itertools.product(range(bins), repeat=2):
            rows, columns = (
                range(n * step // bins, -(-n * (step + 1) // bins)) for n, step in zip(size, (i, j), strict=True)
            )
            expected.append({(row, column) for row in rows for column in columns})
    found = [{(r, c) for r, c in reads[:, :, index].nonzero().tolist()} for index in range(reads.shape[2])]
    assert found == expected


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (24, 7)])
def test_5376_numbers_stay(height: int, width: int) -> None:
    figure = drawn(5, **{"Height of the map": height, "Width of the map": width})
    assert caption(figure).endswith("5,376 out")
    assert styled(figure, "bin bin0") + styled(figure, "bin bin1") == 21


# 6: atrous convolution


@pytest.mark.parametrize("rate", [1, 2, 6, 40])
def test_zeros_between_the_taps_change_nothing(rate: int) -> None:
    weight, x = torch.randn(3, 2, 3, 3), torch.randn(1, 2, 20, 24)
    dense = atrous.with_zeros(weight, rate)
    assert dense.shape[-1] == 2 * rate + 1
    assert int((dense != 0).sum()) == weight.numel()
    torch.testing.assert_close(
        nn.functional.conv2d(x, dense, padding=rate),
        nn.functional.conv2d(x, weight, padding=rate, dilation=rate),
        rtol=1e-4,
        atol=1e-5,
    )
    assert atrous.difference(rate, 24) < 1e-5


@pytest.mark.parametrize(("rate", "across", "down"), [(6, 50, 50), (6, 7, 98), (18, 0, 0), (18, 50, 50), (32, 25, 60)])
def test_taps_on_and_off_the_map(rate: int, across: int, down: int) -> None:
    cells = [round(31 * percent / 100) for percent in (across, down)]
    along = [sum(0 <= cell + step < 32 for step in (-rate, 0, rate)) for cell in cells]
    figure = drawn(6, **{"Atrous rate": rate, "Across (%)": across, "Down (%)": down})
    assert styled(figure, "tap") == along[0] * along[1]
    assert styled(figure, "tap") + styled(figure, "tap off") == 9


@pytest.mark.parametrize("rate", [1, 6, 18, 32])
def test_share_and_weights_in_the_figure(rate: int) -> None:
    landed = sum(0 <= place + step < 32 for place in range(32) for step in (-rate, 0, rate))
    words = caption(drawn(6, **{"Atrous rate": rate}))
    assert f"{(landed / 96) ** 2:.0%} of the taps land" in words
    assert (
        f"{2 * rate + 1} × {2 * rate + 1} cells with the same {nn.Conv2d(256, 256, 3, bias=False).weight.numel():,}"
        in words
    )


# 7: ASPP


@pytest.mark.parametrize("rate", [6, 12])
def test_the_branches_together_are_the_network(rate: int) -> None:
    expected = cache.segmenter(aspp.MODEL).decode(cache.features(CAT, aspp.MODEL, None), rate)
    _, logits = aspp.run(CAT, rate)
    corners = cache.features(CAT, aspp.MODEL, None).aligned_size
    assert (label_map(logits, (300, 451), aligned_size=corners) == expected.labels).mean() > 0.999


def test_the_network_keeps_its_own_rates() -> None:
    segmenter = cache.segmenter(aspp.MODEL)
    features = cache.features(CAT, aspp.MODEL, None)
    before = segmenter.logits(features)
    maps, _ = aspp.run(CAT, 5)
    assert torch.equal(segmenter.logits(features), before)
    pooled = maps[-1]
    assert torch.equal(pooled, pooled[:, :1, :1].expand_as(pooled))


def test_taps_of_the_three_branches() -> None:
    """Each tap off the middle is drawn, filled where it lands on the map."""
    *_, deepest = cache.features(CAT, aspp.MODEL, None).maps
    middle = [round((side - 1) / 2) for side in deepest.shape[-2:]]
    figure = drawn(7)
    marks = [element.get("class") or "" for element in figure.iter() if "mark" in (element.get("class") or "")]
    for mark, rate in (("circle", 6), ("square", 12), ("triangle", 18)):
        landed = [
            sum(0 <= place + step < side for step in (-rate, 0, rate))
            for place, side in zip(middle, deepest.shape[-2:], strict=True)
        ]
        inside = landed[0] * landed[1] - 1  # the middle tap is the cell's own frame
        assert (marks.count(f"mark {mark}"), marks.count(f"mark {mark} off")) == (inside, 8 - inside)


@pytest.mark.parametrize(("width", "height"), [(33, 22), (22, 33), (33, 33), (5, 3)])
@pytest.mark.parametrize("rate", [1, 4, 12, 24, 33, 36])
def test_what_a_branch_finds_by_trying_all_positions(width: int, height: int, rate: int) -> None:
    along = {
        name: any(0 <= place + step < side for place in range(side) for step in (-rate, rate))
        for name, side in (("width", width), ("height", height))
    }
    words = aspp.neighbours(rate, width, height)
    if all(along.values()):
        assert "both ways" in words
    elif any(along.values()):
        assert next(name for name, found in along.items() if found) in words
        assert "only" in words
    else:
        assert "its own cell alone" in words


@pytest.mark.parametrize("photo", ["landscape", "portrait"])
def test_what_is_said_of_the_branches_is_the_photos(photo: str, tmp_path: Path) -> None:
    """A rate between the map's sides finds neighbours along the longer one: the width of one photo, the other's height."""
    picture = Image.open(CAT).convert("RGB")
    path = tmp_path / "photo.png"
    (picture if photo == "landscape" else picture.transpose(Image.Transpose.ROTATE_90)).save(path)
    html = draw(LESSONS[6], {"path": str(path)}, 12, 50, 50)
    assert f"rate 24 finds neighbours along the {'width' if photo == 'landscape' else 'height'} only" in html


# 8: depthwise separable convolution


def test_the_articles_numbers() -> None:
    words = "".join(drawn(8).itertext())
    assert "8·8·5·5·3·256 = 1,228,800" in words
    assert "8·8·3·(5·5 + 256) = 53,952" in words
    assert "12×12×3" in words


def test_multiplications_by_running_both() -> None:
    """A multiplication happens for each weight at each of its positions."""
    side, inside, out, kernel = 6, 5, 7, 3
    plain = nn.Conv2d(inside, out, kernel, bias=False)
    depthwise = nn.Conv2d(inside, inside, kernel, groups=inside, bias=False)
    pointwise = nn.Conv2d(inside, out, 1, bias=False)
    x = torch.zeros(1, inside, side + kernel - 1, side + kernel - 1)
    between = depthwise(x)
    products = {
        plain.weight.numel() * plain(x)[0, 0].numel(),
        depthwise.weight.numel() * between[0, 0].numel() + pointwise.weight.numel() * pointwise(between)[0, 0].numel(),
    }
    words = caption(drawn(8, **{"Output side": side, "Channels in": inside, "Channels out": out, "Kernel": kernel}))
    assert {int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= multip|: the)", words)} == products
    weights = plain.weight.numel(), depthwise.weight.numel() + pointwise.weight.numel()
    assert separable.parameters(inside, out, kernel) == weights


# 9: every pixel votes


def crf_figure(photo: Path, **changed: Any) -> ElementTree.Element:
    values = [{"path": str(photo)}, *settings(9, **changed)[1:]]
    return ElementTree.fromstring(draw(LESSONS[8], *values))


def test_the_votes_make_up_an_update() -> None:
    torch.manual_seed(0)
    numbers = CRF(theta_alpha=200, theta_beta=30, theta_gamma=20, iterations=1)
    photo = SampledPhoto.of((torch.rand(24, 32, 3) * 90 + 80).to(torch.uint8), numbers)
    scores = 3 * torch.randn(3, 24, 32)
    once = mean_field(photo, scores, numbers).probabilities
    for cell in ((0, 0), (11, 17), (23, 31)):
        pulled = (scores.softmax(0) * crf.pull(photo, numbers, cell)).sum((1, 2))
        found = (scores[:, cell[0], cell[1]] + pulled).softmax(0)
        torch.testing.assert_close(found, once[:, cell[0], cell[1]], atol=1e-3, rtol=0)


def test_the_pull_is_the_papers_kernel() -> None:
    torch.manual_seed(0)
    numbers = CRF(w2=0, theta_alpha=100, theta_beta=20)
    pixels = (torch.rand(20, 26, 1).expand(-1, -1, 3) * 60 + 90).to(torch.uint8)
    place = torch.cartesian_prod(torch.arange(20), torch.arange(26)).T * REFERENCE_SIDE / 26
    points = torch.cat([place / numbers.theta_alpha, pixels.reshape(-1, 3).T / numbers.theta_beta])
    kernel = numbers.w1 * dense.normalised(dense.gaussian(points))
    found = crf.pull(SampledPhoto.of(pixels, numbers), numbers, (7, 9)).ravel()
    expected = kernel[7 * 26 + 9].float()
    assert (found - expected).norm() < 0.2 * expected.norm()


def test_without_an_update_the_crf_leaves_the_network_alone() -> None:
    alone, after = "".join(crf_figure(EXAMPLES / "rider.jpg", Updates=0).itertext()), crf_figure(EXAMPLES / "rider.jpg")
    assert "0.0% of the photo's pixels change" in alone
    assert not re.search(r"\b0\.0% of the photo's pixels change", "".join(after.itertext()))


def test_a_close_up_shows_the_pixel_and_knows_its_part_of_the_photo() -> None:
    figure = crf_figure(EXAMPLES / "rider.jpg", Zoom=4, **{"Across (%)": 50, "Down (%)": 0})
    parts = [
        tuple(map(float, part.get("data-part", "").split())) for part in figure.iter() if part.get("class") == "pointed"
    ]
    assert parts[2] == (0, 0, 1, 1)
    left, top, right, bottom = parts[0]
    assert (top, bottom) == (0, 0.25)
    assert right - left == pytest.approx(0.25, abs=1e-3)
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.01)


# 10: what a trained start is worth

TWO = ("unet_mobilenetv2", "unet_width24")


@pytest.mark.parametrize("seen", list(from_scratch.sizes()))
def test_both_label_maps_are_the_librarys(seen: str, cat: Image.Image) -> None:
    size = from_scratch.sizes()[seen]
    expected = [segmodels.load(name)(cat, working_size=size) for name in TWO]
    found = from_scratch.segmented(CAT, size, cat.size)
    for one, other in zip(found, expected, strict=True):
        assert (one.model, one.working_size) == (other.model, other.working_size)
        assert (one.labels == other.labels).mean() > 0.999
    share = re.search(r"agree on ([\d.]+)% of the pixels", caption(drawn(10, **{"The photo is seen": seen})))
    assert share
    assert float(share[1]) / 100 == pytest.approx(np.mean(expected[0].labels == expected[1].labels), abs=0.002)


def logged(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((registry.WEIGHTS / file).read_text())
    return found


def test_the_bars_are_as_long_as_what_was_logged_and_counted() -> None:
    """Crops and scores from the cards, sizes from the networks themselves."""
    crops = [logged(f"{name}.json")["training"]["crops"] for name in TWO]
    networks = [registry.build(name) for name in TWO]
    parameters = [sum(weight.numel() for weight in network.parameters()) for network in networks]
    sizes = [map(int, re.findall(r"\d+", logged(f"{name}.json")["macs_at"])) for name in TWO]
    macs = [count(network, height, width).macs for network, (width, height) in zip(networks, sizes, strict=True)]
    scores = [logged(f"{name}.json")["scores"]["miou7"] for name in TWO]
    (bars,) = (panel for panel in drawn(10).iter() if (panel.get("aria-label") or "").startswith("Bars"))
    lengths = [float(bar.get("width") or 0) for bar in bars if (bar.get("class") or "").startswith("bar")]
    pairs = list(zip(lengths[::2], lengths[1::2], strict=True))
    for pair, values in zip(pairs, (scores, parameters, macs, crops), strict=True):
        assert pair[0] / pair[1] == pytest.approx(values[0] / values[1], rel=0.01)
    words = " ".join(bars.itertext())
    for value in (*(f"{score:.3f}" for score in scores), *(f"{number:,}" for number in crops)):
        assert value in words


def test_how_far_another_size_moves_each_network(cat: Image.Image) -> None:
    """Of the two, only the one that sees the photo at another size than its own is spoken of."""
    name = TWO[0]
    own, smaller = (segmodels.load(name)(cat, working_size=size).labels for size in (None, 256))
    words = caption(drawn(10, **{"The photo is seen": "both at 256 pixels"}))
    share = re.search(r"labels ([\d.]+)% otherwise", words)
    assert share
    assert float(share[1]) / 100 == pytest.approx(np.mean(own != smaller), abs=0.003)
    assert words.count("otherwise") == 1


def test_without_the_weights_a_sentence_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: cache.LRUCache[Segmenter] = cache.LRUCache(2)
    monkeypatch.setattr(cache, "_segmenters", fresh)
    monkeypatch.setattr("segmodels.models.card.WEIGHTS", tmp_path)
    answer = draw(LESSONS[9], *settings(10))
    assert "has no trained weights" in answer


# 11: geometry


@pytest.mark.parametrize("cell", range(1, 7))
def test_where_a_dot_ends_up_by_hand(cell: int) -> None:
    """Corner to corner it stays. Half-pixel, cell i of n is put at (i + 1/2) size / n - 1/2 instead of 16 i."""
    for size, cells in ((128, 8), (129, 9)):
        assert geometry.shift(size, cell, True) == pytest.approx(0, abs=1e-3)
        assert geometry.shift(size, cell, False) == pytest.approx(
            (cell + 0.5) * size / cells - 0.5 - 16 * cell, abs=0.05
        )
    assert geometry.shift(128, cell, False) == pytest.approx(7.5, abs=0.05)


def test_the_steps_end_where_the_output_or_the_input_does() -> None:
    assert resampling.steps(resampling.DOWN, 3, 2, 1, 5) == 9
    assert resampling.steps(resampling.UP, 3, 2, 1, 5) == 25
    assert resampling.steps(resampling.DOWN, 5, 1, 0, 2) == 1  # a kernel larger than the map
    update = _bounded(LESSONS[1], resampling.DOWN, 3, 2, 1, 5, 64)
    assert (update["maximum"], update["value"]) == (9, 9)
    most = resampling.steps(resampling.DOWN, 1, 1, 2, 8)  # the largest output that the sliders lead to
    assert f"Step {most} of {most}" in resampling.draw(resampling.DOWN, 1, 1, 2, 8, most)


# --- 11: train one yourself ------------------------------------------------------------------------------------------


def test_no_stroke_of_the_last_lesson_touches_the_tip_or_the_towers_that_are_asked_for() -> None:
    painted = train_one.strokes()
    assert set(np.unique(painted).tolist()) == {0, 1, 255}
    for box in (train_one.TIP, *train_one.TOWERS):
        assert (painted[box] == 255).all()


def test_deep_features_know_the_rocket_fine_ones_its_edges_and_random_ones_less() -> None:
    deep, fine, both = (train_one.outcome(strides, train_one.TRAINED) for strides in ("32", "4", "32 + 4"))
    assert deep.tip > 0.6
    assert fine.tip < 0.4
    assert both.tip > deep.tip
    assert fine.towers > 3 * deep.towers
    assert fine.towers > 3 * both.towers
    for strides, trained in (("32", deep), ("32 + 4", both)):
        assert train_one.outcome(strides, train_one.RANDOM).tip < trained.tip
    assert train_one.outcome("32", train_one.RANDOM).towers > 3 * deep.towers


def test_the_weights_of_touching_cells_are_those_of_the_paper() -> None:
    with Image.open(EXAMPLES / "nuclei_instances.png") as picture:
        numbers = np.array(picture)
    distances = [ndimage.distance_transform_edt(numbers != number) for number in range(1, int(numbers.max()) + 1)]
    nearest, second = np.sort(distances, axis=0)[:2]
    for w0, sigma in ((10, 5), (20, 2)):
        weights = 1 + w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
        heavy = f"{(weights >= 2).mean():.1%} of the pixels weigh twice"
        assert heavy in caption(drawn(13, **{"w₀": w0, "σ (pixels)": sigma}))


def test_every_pixel_of_the_line_lies_near_two_cells() -> None:
    numbers = touching_cells.nuclei()[1]
    for row, column in zip(*np.nonzero(touching_cells.classes() == 2), strict=True):
        near = numbers[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        assert len(set(near[near > 0].tolist())) > 1


# 14: thirty pictures


def test_a_smooth_push_moves_the_picture_its_mesh_and_its_nuclei_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Displacements of 7 rows and 4 columns everywhere: what stood 7 rows further down is here now."""
    picture, numbers = touching_cells.nuclei()
    push = np.stack([np.full(picture.shape, 7, np.float32), np.full(picture.shape, 4, np.float32)])
    monkeypatch.setattr(instances, "elastic_field", lambda *_: push)
    moved, mesh, renumbered, _ = thirty_pictures.deformed(10, 3, 1)
    assert np.allclose(moved[:-7, :-4], picture[7:, 4:], atol=0.1)
    assert np.array_equal(renumbered[:-7, :-4], numbers[7:, 4:])
    rows = np.flatnonzero(mesh[:, 0] > 200)
    assert set(np.diff(rows).tolist()) == {thirty_pictures.MESH}


def test_the_sliders_start_at_the_papers_numbers() -> None:
    assert [control.value for control in LESSONS[13].controls()][:2] == [instances.ELASTIC_DEVIATION, 3]


def test_where_a_picture_folds_by_hand() -> None:
    rows = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None], (40, 30))
    still = np.zeros_like(rows)
    assert thirty_pictures.folded(np.stack([-0.9 * rows, still])) == 0  # squeezed, but in order
    assert thirty_pictures.folded(np.stack([-2 * rows, still])) == 1  # upside down
    half = np.where(rows < 20, 0, -2 * (rows - 20)).astype(np.float32)
    assert thirty_pictures.folded(np.stack([half, still])) == pytest.approx(0.5, abs=0.03)


ROWS = {10: (0.70, 0.45), 30: (0.80, 0.62), 100: (0.85, 0.70), 400: (0.90, 0.80)}


def keep_rows(counts: tuple[int, ...], out: Path, file: Path) -> None:
    """Write made-up scores as ``tools.weights.cells`` does."""
    for pictures in counts:
        scores = dict(zip(("foreground_iou", "precision_50"), ROWS[pictures], strict=True))
        report = {"recipe": {"pictures": pictures % 400}, "scores": scores}
        (out / ("all.json" if pictures == 400 else f"pictures-{pictures}.json")).write_text(json.dumps(report))
    file.write_text(json.dumps(kept(out, 400)))


@pytest.mark.parametrize("counts", [(), (400,), (10, 30, 400), (10, 30, 100, 400)])
def test_the_curve_is_what_was_measured_and_nothing_else(
    counts: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept" / "rows.json"
    file.parent.mkdir()
    if counts:
        keep_rows(counts, tmp_path, file)
    monkeypatch.setattr(thirty_pictures, "MEASURED", file)
    thirty_pictures.measured.cache_clear()
    figure = drawn(14)
    thirty_pictures.measured.cache_clear()
    circles = [element for element in figure.iter() if element.tag.endswith("circle")]
    assert len(circles) == (2 * len(counts) if len(counts) > 1 else 0)
    for style, place in (("moved", 0), ("fitted", 1)):
        found = [circle for circle in circles if circle.get("class") == style]
        for one, other in itertools.pairwise(zip(found, counts, strict=False)):
            across = [float(circle.get("cx") or 0) for circle, _ in (one, other)]
            heights = [float(circle.get("cy") or 0) for circle, _ in (one, other)]
            scores = [ROWS[count][place] for _, count in (one, other)]
            assert across[0] < across[1]
            assert (heights[0] > heights[1]) == (scores[0] < scores[1])
            assert f"{other[1]} pictures" in "".join(other[0].itertext())
            assert f"{scores[1]:.3f}" in "".join(other[0].itertext())


# 15: tiles


def test_the_papers_borders_from_its_kernels_and_from_its_shapes() -> None:
    lost = sum(cost for _, cost in tiles.shrinkage().values())
    assert lost == 572 - unet_path.path(572, 572, "valid").logits[1] == 572 - 388
    assert sum(count for count, _ in tiles.shrinkage().values()) == 18  # of 23 layers, without 4 up and the last 1 x 1
    words = "".join(drawn(15).itertext()).replace("\u00a0", " ")
    assert "572 − 184 = 388" in words


def test_what_a_tile_is_shown_to_see() -> None:
    """The first tile with 32 pixels around it: above and left of it is the picture's mirror image."""
    figure = drawn(15, **{"Overlap (pixels)": 32})
    view = figure.find(".//{http://www.w3.org/2000/svg}svg")
    assert view is not None
    assert view.get("aria-label") == "128 by 128 pixels, of which the middle 64 by 64 are kept"
    edge = next(shape for shape in view.iter() if "edge" in (shape.get("class") or ""))
    window = next(shape for shape in view.iter() if shape.get("class") == "window")
    assert [edge.get(side) for side in "xy"] == [window.get(side) for side in "xy"]
    assert float(window.get("width") or 0) == pytest.approx(340 * 64 / 128)


def test_differing_pixels_are_counted() -> None:
    whole = cache.segmenter(tiles.MODEL).in_tiles(tiles.cells()).labels
    for overlap in (0, 32):
        tiled = cache.segmenter(tiles.MODEL).in_tiles(tiles.cells(), 64, overlap=overlap).labels
        assert f"{np.mean(tiled != whole):.2%} of the pixels" in caption(drawn(15, **{"Overlap (pixels)": overlap}))


# What every lesson has


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
def test_ten_lines_of_python_run_and_say_what_is_known(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in lesson.python.splitlines() if line.strip()]
    assert len(lines) <= 10
    exec(compile(lesson.python, lesson.slug, "exec"), {})
    printed = capsys.readouterr().out
    for words in PRINTED[lesson.slug]:
        assert re.search(words, printed), printed


PRINTED: dict[str, tuple[str, ...]] = {
    "any-size": (r"\(1, 20, 5, 5\) True",),
    "down-and-up": (r"2 \[(1, ){9}1\]", r"3 \[2, 2, 4, 2, 4", r"4 \[2, 2, (4, ){8}2, 2\]"),
    "skips": (r"\(\) 0\.0%", r"'score 8',\) [1-9]"),
    "u-nets-path": ("572 -> 388", "588 -> 404", "892 -> 708"),
    "pyramid-pooling": (r"\(1, 1\) -> \(1, 256, 21\)",),
    "atrous": ("rate 18 .* False", "rate 32 .* True"),
    "aspp": ("6 {'cat'", "12 {'cat'", "24 {'cat'"),
    "separable": ("19200 weights, 1228800", "843 weights, 53952"),
    "every-pixel-votes": (r"fcn_mobilenetv2 \d", r"deeplabv3plus_mobilenetv2 \d"),
    "trained-start": (r"unet_mobilenetv2 mIoU-7 0\.8", r"unet_width24 mIoU-7 0\.3"),
    "geometry": ("129 corner to corner .* 32.0", "128 half-pixel .* 24.5"),
    "train-one-yourself": (r"([6-9]\d|100)% of the tip",),
    "touching-cells": ("w0 = 0 0.2%", r"w0 = 10 [1-9]"),
    "thirty-pictures": (r"30 pixels on 3 x 3: 0\.0%", r"30 pixels on 8 x 8: [1-9]"),
    "tiles": (r"overlap 0 .* [1-9]\d*\n", "overlap 96 .* 0\n"),
}
"""From the papers, by hand, or from what the lesson says."""


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
def test_the_question_has_one_right_choice_and_references_lead_to_papers(lesson: Lesson) -> None:
    check = ElementTree.fromstring(f"<div>{render('lessons/check.html', lesson=lesson)}</div>")
    right = [label for label in check.iter("label") if label[0].get("value") == "right"]
    assert ["".join(label.itertext()).replace("\u00a0", " ") for label in right] == [lesson.choices[0]]
    assert len(set(lesson.choices)) == 3
    assert lesson.references
    more = render("lessons/more.html", lesson=lesson, terms=terms_in(lesson), papers=PAPERS)
    for name, where in lesson.references:
        assert PAPERS[name][1] in more
        assert where in more


def test_all_papers_are_referred_to() -> None:
    assert {name for lesson in LESSONS for name, _ in lesson.references} == set(PAPERS)


def test_terms_are_found_in_the_lessons_words_and_only_there() -> None:
    found = terms_in(LESSONS[6])
    assert {"ASPP", "image pooling"} <= set(found)
    assert "CRF" not in found
    assert list(TERMS) == sorted(TERMS, key=str.lower)


def test_classes_are_named_as_people_write_them_and_none_stands_at_nothing() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[:50], labels[99, 99] = VOC.names.index("pottedplant"), VOC.names.index("tvmonitor")
    assert contents(labels, VOC.names) == "potted plant 50.0%, specks of TV monitor"
    assert in_words({"diningtable": 0.5, "cat": 0.004}) == "dining table 50%, cat under 1%"
