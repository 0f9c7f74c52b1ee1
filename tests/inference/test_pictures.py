import io

import numpy as np
import pytest
from PIL import Image

from segmodels.inference import pictures
from segmodels.labels import PALETTE, ClassList


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[10:30, 20:40] = 8
    labels[:5] = 15
    return labels


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))


def test_the_label_image_survives_png(labels: np.ndarray) -> None:
    buffer = io.BytesIO()
    pictures.label_image(labels).save(buffer, "PNG")
    back = Image.open(buffer)
    assert back.mode == "P"
    assert (np.asarray(back) == labels).all()
    assert back.convert("RGB").getpixel((30, 20)) == tuple(PALETTE[8])


def test_an_overlay_leaves_the_background_alone(photo: Image.Image, labels: np.ndarray) -> None:
    drawn, before = np.asarray(pictures.overlay(photo, labels, 0.25)), np.asarray(photo)
    assert (drawn[labels == 0] == before[labels == 0]).all()
    expected = 0.75 * before[labels == 8] + 0.25 * PALETTE[8]
    assert np.abs(drawn[labels == 8] - expected).max() <= 1


def test_bounded_keeps_labels_whole(photo: Image.Image, labels: np.ndarray) -> None:
    small, small_labels = pictures.bounded(photo, labels, 30)
    assert small.size == (30, 20)
    assert small_labels.shape == (20, 30)
    assert set(np.unique(small_labels)) <= {0, 8, 15}
    assert pictures.bounded(photo, labels, 60)[0] is photo


def test_the_figure_shows_photo_and_labels(photo: Image.Image, labels: np.ndarray) -> None:
    drawing = pictures.figure(photo, labels)
    assert [axes.get_title() for axes in drawing.axes] == ["Input image", "Segmented output"]
    shown = drawing.axes[1].images[0].get_array()
    assert shown is not None
    assert (np.asarray(shown) == PALETTE[labels]).all()
    assert {text.get_text() for text in drawing.legends[0].get_texts()} == {"background", "cat", "person"}


def test_classes_of_ones_own_have_their_own_colours(photo: Image.Image) -> None:
    streets = ClassList(("sky", "road", "background"), ((1, 2, 3), (200, 100, 50), (0, 0, 0)))
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[20:], labels[:, 50:] = 1, 2
    assert (np.asarray(pictures.label_image(labels, streets).convert("RGB"))[30, 10] == (200, 100, 50)).all()
    drawn, before = np.asarray(pictures.overlay(photo, labels, 0.5, streets)), np.asarray(photo)
    assert (drawn[:, 50:] == before[:, 50:]).all()  # the background, though it is the last
    assert np.abs(drawn[:20, :50] - (0.5 * before[:20, :50] + 0.5 * np.array([1, 2, 3]))).max() <= 1
    names = {text.get_text() for text in pictures.figure(photo, labels, streets).legends[0].get_texts()}
    assert names == set(streets.names)


def test_without_a_background_every_pixel_is_coloured(photo: Image.Image) -> None:
    two = ClassList(("sky", "road"), ((0, 0, 0), (255, 255, 255)))
    labels = np.zeros((40, 60), dtype=np.uint8)
    assert (np.asarray(pictures.overlay(photo, labels, 1, two)) == 0).all()
