from pathlib import Path

import pytest

from segmodels.label_files import read_class_list
from segmodels.labels import PALETTE, VOC_CLASSES, VOID, ClassList


def test_colours_are_those_of_pascal_voc() -> None:
    # The development kit's own colours, as printed in its documentation.
    known = {"background": (0, 0, 0), "aeroplane": (128, 0, 0), "bicycle": (0, 128, 0), "bird": (128, 128, 0)}
    known |= {"cat": (64, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128)}
    for name, colour in known.items():
        assert tuple(PALETTE[VOC_CLASSES.index(name)]) == colour
    assert tuple(PALETTE[VOID]) == (224, 224, 192)


def test_no_two_classes_share_a_colour() -> None:
    assert len({tuple(PALETTE[index]) for index in range(len(VOC_CLASSES))}) == 21


def test_a_list_of_classes_is_read_with_and_without_colours(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes("\ufeffsky 128 128 128\r\nroad marking 1 2 3\r\n\r\nclass 3\r\n".encode())
    read = read_class_list(file)
    assert read.names == ("sky", "road marking", "class 3")
    assert read.colours[:2] == ((128, 128, 128), (1, 2, 3))
    assert read.background is None
    assert tuple(read.palette[VOID]) == (224, 224, 192)
    file.write_text("road\nbackground\n")
    assert read_class_list(file).background == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "2 to 255"),
        (b"one\n", "2 to 255"),
        ("\n".join(f"class{index}" for index in range(256)).encode(), "2 to 255"),
        (b"cat\ndog\ncat\n", "two classes are called cat"),
        (b"cat 1 2 300\ndog\n", "from 0 to 255"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a" * 100 + b"\nb\n", "no name"),
        (b"a\x00b\nb\n", "no name"),
    ],
)
def test_what_is_no_list_of_classes_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_class_list(tmp_path / "classes.txt")


def test_classes_without_colours_are_told_apart() -> None:
    many = ClassList(tuple(f"class {index}" for index in range(255)))
    assert len(set(many.colours)) == 255
    assert ClassList(("background", "thing")).colours[0] == (0, 0, 0)
    assert ClassList(("sky", "road")).colours[0] != (0, 0, 0)
