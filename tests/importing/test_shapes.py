"""Shapes drawn as the tools draw them: COCO's own API is the truth for its polygons and run-length codes."""

import numpy as np
import pytest
from pycocotools import mask as coco

from segmodels.importing.shapes import coco_polygon, ellipse, label_studio_rle, pillow_polygon, stroke
from segmodels.inference.run_length import coco_rle, packed_rle


def their_polygon(points: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    return coco.decode(coco.merge(coco.frPyObjects([np.ravel(points).tolist()], size[1], size[0]))).astype(bool)


def test_polygons_cover_what_coco_s_api_says() -> None:
    random = np.random.default_rng(0)
    for _ in range(150):
        size = (int(random.integers(5, 60)), int(random.integers(5, 60)))
        points = (random.uniform(-0.1, 1.1, (int(random.integers(3, 9)), 2)) * size).round(random.integers(0, 3))
        points = points.clip(0, size)
        assert (coco_polygon(points.tolist(), size) == their_polygon(points.tolist(), size)).all()


def test_a_square_of_ten_covers_a_hundred_pixels_by_coco_and_121_by_pillow() -> None:
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    assert coco_polygon(square, (20, 20)).sum() == 100
    assert pillow_polygon(square, (20, 20)).sum() == 121


def test_run_length_codes_are_read_and_written_as_coco_s_api_does() -> None:
    random = np.random.default_rng(1)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = random.random((17, 23)) < share
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert (coco_rle(theirs["counts"].decode(), (23, 17)) == mask).all()
        assert packed_rle(mask) == {"size": [17, 23], "counts": theirs["counts"].decode()}
    runs = [2, 3, 23 * 17 - 5]
    assert (coco_rle(runs, (23, 17)).T.ravel()[:6] == [False, False, True, True, True, False]).all()
    with pytest.raises(ValueError, match="no shape in 23 x 17"):
        coco_rle([3], (23, 17))


def brush_code(pixels: np.ndarray) -> list[int]:
    """An RGBA picture as Label Studio's brush stores it, bit by bit: half of it as runs, half value by value."""
    flat = pixels.reshape(-1).tolist()
    text = f"{len(flat):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    place = 0
    while place < len(flat):
        run = 1
        while place + run < len(flat) and flat[place + run] == flat[place] and run < 2**16:
            run += 1
        if run > 8:
            text += "1" + "11" + f"{run - 1:016b}" + f"{flat[place]:08b}"
        else:
            run = min(8, len(flat) - place)
            text += "0" + "00" + f"{run - 1:03b}" + "".join(f"{value:08b}" for value in flat[place : place + run])
        place += run
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


def test_a_brush_is_read_by_its_alpha() -> None:
    pixels = np.zeros((6, 9, 4), dtype=np.uint8)
    pixels[1:4, 2:7] = (120, 50, 20, 255)
    pixels[5, 0, 3] = 100
    assert (label_studio_rle(brush_code(pixels), (9, 6)) == (pixels[..., 3] == 255)).all()
    with pytest.raises(ValueError, match="cut short"):
        label_studio_rle(brush_code(pixels)[:20], (9, 6))
    with pytest.raises(ValueError, match="values"):
        label_studio_rle(brush_code(pixels), (6, 8))


def test_lines_and_ellipses_have_their_size() -> None:
    assert stroke([[5, 5], [15, 5]], (30, 20), 3)[5, 5:16].all()
    assert 20 <= stroke([[10, 10]], (30, 20), 6).sum() <= 50
    round_ = ellipse(10, 8, 6, 6, (20, 16))
    assert round_.sum() == pytest.approx(np.pi * 36, rel=0.05)
    upright, lying = ellipse(10, 10, 8, 3, (20, 20), 90), ellipse(10, 10, 3, 8, (20, 20))
    assert (upright == lying).all()
