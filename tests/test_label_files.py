"""Lists of classes and label maps as tools write them: understood, or refused with the line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.label_files import given_colours, open_label_map, read_class_list, read_label_map

LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "labelme's labels.txt": ("__ignore__\n_background_\ncat\ndog\n", ("_background_", "cat", "dog")),
    "CVAT's labelmap.txt": (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndog:10,20,30:head,tail:\n",
        ("background", "cat", "dog"),
    ),
    "Roboflow's _classes.csv": ("Pixel Value, Class\n0, background\n1, cat\n", ("background", "cat")),
    "values first": ("0 background\n1 cat\n2 dog\n", ("background", "cat", "dog")),
    "values and a colon": ("0: background\n1: cat\n", ("background", "cat")),
    "values last": ("background 0\ncat 1\n", ("background", "cat")),
    "values and colours": ("0 128 64 128 road\n1 1 2 3 sky\n", ("road", "sky")),
    "colours first": ("128 64 128\troad\n0 0 0 sky\n", ("road", "sky")),
    "hexadecimal": ("background #000000\nroad marking #8040ff\n", ("background", "road marking")),
    "commas": ("road, 128, 64, 128\nsky,1,2,3\n", ("road", "sky")),
    "a table": ("name,r,g,b\nroad,128,64,128\nsky,1,2,3\n", ("road", "sky")),
    "a YAML list": ("- background\n- cat\n", ("background", "cat")),
    "quotation marks": ("'background'\n'traffic light'\n", ("background", "traffic light")),
    "a Python list, line by line": ('"background",\n"cat"\n', ("background", "cat")),
    "comments": ("# my classes\nroad\nclass 3\n", ("road", "class 3")),
}


@pytest.mark.parametrize("tool", LISTS)
def test_the_lists_of_tools_are_understood(tmp_path: Path, tool: str) -> None:
    content, names = LISTS[tool]
    (tmp_path / "classes.txt").write_text(content)
    assert read_class_list(tmp_path / "classes.txt").names == names


def test_colours_that_a_list_gives_are_told_from_defaults(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("background\nroad marking #8040ff\ncat, 1, 2, 3\n")
    assert given_colours(file) == {(128, 64, 255): 1, (1, 2, 3): 2}
    assert read_class_list(file).colours[0] == (0, 0, 0)
    assert given_colours(tmp_path / "none.txt") == {}
    file.write_text("cat 1 2 3\ndog 1 2 3\n")
    with pytest.raises(ValueError, match="line 2: cat and dog have one colour"):
        given_colours(file)


def test_labelme_s_background_is_one(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ncat\n")
    assert read_class_list(tmp_path / "labels.txt").background == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1 cat\n2 dog\n", r"line 1: cat has the value 1 there and 0 by its place"),
        ("background 0\ncat 2\ndog 1\n", r"line 2: cat has the value 2"),
        ("cat\n__ignore__\ndog\n", "line 2: '__ignore__' is no class"),
        ("cat\ndog: 1\n", "line 2: 'dog: 1'"),
        ('{"names": ["cat"]}\nx\n', "line 1"),
        ("names:\n- cat\n", "line 1"),
        ("cat\n7\n", "line 2: '7'"),
        ("cat, dog\nsky\n", "line 1: 'cat, dog'"),
        ("background 0 0 0\ncat 255 0\n", "line 2: 'cat 255 0'"),
        ("background 0 0 0\ncat 1.0 0.5 0.0\n", "line 2: 'cat 1.0"),
        ("'background'\ncat\n", "line 1"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused_with_its_line(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "classes.txt").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        read_class_list(tmp_path / "classes.txt")


def grey_png(levels: np.ndarray, bits: int) -> bytes:
    """A grey PNG of so many bits, written by hand: what Pillow cannot write."""
    rows = []
    for row in levels:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(b"\0" + bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8)))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_levels_of_grey_are_read_at_the_file_s_own_depth(tmp_path: Path, bits: int) -> None:
    levels = np.arange(35, dtype=np.uint8).reshape(5, 7) % min(2**bits, 20)
    (tmp_path / "map.png").write_bytes(grey_png(levels, bits))
    assert (read_label_map(tmp_path / "map.png", 20) == levels).all()


def test_what_is_no_label_map_is_said(tmp_path: Path) -> None:
    file = tmp_path / "map.png"
    file.write_bytes(grey_png(np.full((3, 3), 1000), 16))
    with pytest.raises(ValueError, match=r"has the value 1000.*single objects"):
        read_label_map(file, 20, "map.png")
    image = Image.new("RGBA", (4, 4), (1, 2, 3, 4))
    image.save(file)
    with pytest.raises(ValueError, match="transparent"):
        open_label_map(file)
    Image.new("RGB", (4, 4), (9, 8, 7)).save(file)
    assert open_label_map(file).colours()[0, 0].tolist() == [9, 8, 7]
    with pytest.raises(ValueError, match="saved in colours"):
        read_label_map(file)
    Image.new("L", (4, 4)).save(tmp_path / "map.jpg")
    with pytest.raises(ValueError, match="JPEG, which blurs"):
        open_label_map(tmp_path / "map.jpg", None)
