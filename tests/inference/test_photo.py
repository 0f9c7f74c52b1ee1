"""Every kind of photo that people and strangers send: the right picture, or a sentence.

The files are built here, of known colours and with a known top left, so that nothing is compared with what the code
itself gave.
"""

import builtins
import gzip
import io
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from segmodels.inference.bounds import MAX_BYTES, MAX_PIXELS, MAX_SIDE, MIN_SIDE
from segmodels.inference.photo import PhotoError, as_photo, read_photo

Order = Literal["<", ">"]
"""Of bytes, as struct has it."""

WIDTH, HEIGHT = 96, 64
RED, GREEN, BLUE, YELLOW = (220, 30, 40), (20, 170, 60), (30, 50, 210), (230, 210, 20)
QUADRANTS = (RED, GREEN, BLUE, YELLOW)
"""The colours of the picture's quarters as seen: top left, top right, bottom left, bottom right."""
GREYS = (10, 90, 170, 250)

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
"""pytest sets the filters back that segmodels.inference.photo sets."""


def quarters(colours: tuple[Any, ...], mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A picture of four flat quarters, unlike itself under any turn or mirroring."""
    picture = Image.new(mode, size)
    middle_x, middle_y = size[0] // 2, size[1] // 2
    for index, colour in enumerate(colours):
        corner = (index % 2 * middle_x, index // 2 * middle_y)
        picture.paste(colour, (*corner, corner[0] + middle_x, corner[1] + middle_y))
    return picture


def quarter_colours(picture: Image.Image) -> NDArray[np.int64]:
    """The colour in the middle of each quarter, (4, 3)."""
    assert picture.mode == "RGB"
    xs, ys = (picture.width // 4, picture.width * 3 // 4), (picture.height // 4, picture.height * 3 // 4)
    return np.array([picture.getpixel((x, y)) for y in ys for x in xs], dtype=np.int64)


def assert_shows(picture: Image.Image, colours: tuple[Any, ...] = QUADRANTS, within: int = 0) -> None:
    expected = np.array([(colour,) * 3 if isinstance(colour, int) else colour for colour in colours])
    assert np.abs(quarter_colours(picture) - expected).max() <= within, quarter_colours(picture).tolist()


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "photo") -> Any:
    path = tmp_path / name
    path.write_bytes(data)
    return read_photo(path)


def refusal(tmp_path: Path, data: bytes, name: str = "photo") -> str:
    """The sentence that refuses the file: one line, of plain words, without a path."""
    with pytest.raises(PhotoError) as caught:
        read(tmp_path, data, name)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert "\n" not in sentence
    assert str(tmp_path) not in sentence
    assert len(sentence) < 200
    return sentence


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], pixels: bytes, depth: int = 8, colour_type: int = 2, extra: bytes = b"") -> bytes:
    """A PNG put together by hand; ``pixels`` are its compressed rows, ``extra`` its chunks before them."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(entries: dict[int, tuple[int, list[int]]], pixels: bytes = b"", order: str = "<") -> bytes:
    """A TIFF put together by hand of ``tag: (type, values)``. Offset 8 holds the pixels, the directory follows."""
    letters = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 11: "f"}
    directory_at = 8 + len(pixels) + len(pixels) % 2
    extra_at = directory_at + 2 + 12 * len(entries) + 4
    directory, extra = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        if len(packed) > 4:
            value = struct.pack(order + "I", extra_at + len(extra))
            extra += packed + bytes(len(packed) % 2)
        else:
            value = packed.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + value
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "I", directory_at)
    return head + pixels.ljust(directory_at - 8, b"\0") + directory + bytes(4) + extra


def grey_tiff(values: NDArray[Any], sample_format: int, order: Order = "<", **more: tuple[int, list[int]]) -> bytes:
    """An uncompressed grey TIFF of any number type; sample format 1 is unsigned, 2 signed, 3 float."""
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    entries = {256: (4, [width]), 257: (4, [height]), 258: (3, [values.dtype.itemsize * 8]), 259: (3, [1])}
    entries |= {262: (3, [1]), 273: (4, [8]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(pixels)])}
    entries |= {339: (3, [sample_format])}
    return tiff(entries | {int(tag[1:]): entry for tag, entry in more.items()}, pixels, order)


def quarter_array(values: tuple[float, ...], dtype: str) -> NDArray[Any]:
    index = np.arange(HEIGHT)[:, None] // (HEIGHT // 2) * 2 + np.arange(WIDTH)[None] // (WIDTH // 2)
    return np.take(np.array(values, dtype=dtype), index)


# --- Colour profiles, written by hand -----------------------------------------------------------------------------

P3_TO_XYZ = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""Linear light to XYZ under D50, as colour profiles have it."""


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    body, table = b"", struct.pack(">I", len(tags))
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + white + bytes(48)
    return header + table + body


def xyz(values: Any) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def text(name: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(1 + 11 + 67)


WHITE_POINT = xyz((0.9642, 1.0, 0.8249))


def wide_gamut_profile(name: str = "Display P3") -> bytes:
    colours = {b"rgbXYZ"[i : i + 1] + b"XYZ": xyz(P3_TO_XYZ[:, i]) for i in range(3)}
    curves = {b"rgb"[i : i + 1] + b"TRC": gamma(2.2) for i in range(3)}
    return profile(b"RGB ", {b"desc": text(name), b"wtpt": WHITE_POINT, **colours, **curves})


def grey_profile(exponent: float) -> bytes:
    return profile(b"GRAY", {b"desc": text("Grey"), b"wtpt": WHITE_POINT, b"kTRC": gamma(exponent)})


def as_srgb(linear: Any) -> NDArray[np.float64]:
    """Linear light in 0 to 1 as sRGB in 0 to 255, by the standard's formula."""
    linear = np.clip(np.asarray(linear, dtype=np.float64), 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.asarray(255 * coded, dtype=np.float64)


# --- Pictures that are read ---------------------------------------------------------------------------------------

EXACT = {
    "png": lambda: encoded(quarters(QUADRANTS), "PNG"),
    "png 16-bit": lambda: png(
        (WIDTH, HEIGHT),
        zlib.compress(
            b"".join(
                b"\0" + row.astype(">u2").tobytes() for row in np.asarray(quarters(QUADRANTS)).astype(np.uint16) * 257
            )
        ),
        depth=16,
    ),
    "webp lossless": lambda: encoded(quarters(QUADRANTS), "WEBP", lossless=True),
    "gif": lambda: encoded(quarters(QUADRANTS).quantize(8), "GIF"),
    "bmp": lambda: encoded(quarters(QUADRANTS), "BMP"),
    "bmp palette": lambda: encoded(quarters(QUADRANTS).quantize(8), "BMP"),
    "tiff": lambda: encoded(quarters(QUADRANTS), "TIFF"),
    "tiff lzw": lambda: encoded(quarters(QUADRANTS), "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: encoded(quarters(QUADRANTS), "TIFF", compression="tiff_adobe_deflate"),
    "tiff big": lambda: encoded(quarters(QUADRANTS), "TIFF", big_tiff=True),
    "palette": lambda: encoded(quarters(QUADRANTS).quantize(8), "PNG"),
    "opaque rgba": lambda: encoded(quarters(QUADRANTS).convert("RGBA"), "PNG"),
    "cmyk tiff": lambda: encoded(quarters(QUADRANTS).convert("CMYK"), "TIFF"),
    "one bit": lambda: encoded(quarters((0, 1, 1, 0), "1"), "PNG"),
    "grey": lambda: encoded(quarters(GREYS, "L"), "PNG"),
    "grey alpha, opaque": lambda: encoded(quarters(GREYS, "L").convert("LA"), "PNG"),
}
EXACT_COLOURS: dict[str, tuple[Any, ...]] = {
    "one bit": (0, 255, 255, 0),
    "grey": GREYS,
    "grey alpha, opaque": GREYS,
}


@pytest.mark.parametrize("name", EXACT)
def test_reads_exactly(tmp_path: Path, name: str) -> None:
    photo = read(tmp_path, EXACT[name]())
    assert photo.image.size == (WIDTH, HEIGHT)
    assert_shows(photo.image, EXACT_COLOURS.get(name, QUADRANTS))
    assert photo.notes == (("colours converted from CMYK",) if name == "cmyk tiff" else ())


LOSSY: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(quarters(QUADRANTS), "JPEG", quality=95),
    "jpeg progressive": lambda: encoded(quarters(QUADRANTS), "JPEG", quality=95, progressive=True),
    "jpeg in several pictures": lambda: encoded(
        quarters(QUADRANTS), "MPO", save_all=True, append_images=[quarters(QUADRANTS[::-1])], quality=95
    ),
    "webp": lambda: encoded(quarters(QUADRANTS), "WEBP", quality=95),
    "avif": lambda: encoded(quarters(QUADRANTS), "AVIF", quality=95),
    "jpeg in tiff": lambda: encoded(quarters(QUADRANTS), "TIFF", compression="jpeg", quality=95),
}


@pytest.mark.parametrize("name", LOSSY)
def test_reads_lossy(tmp_path: Path, name: str) -> None:
    photo = read(tmp_path, LOSSY[name]())
    assert photo.image.size == (WIDTH, HEIGHT)
    assert_shows(photo.image, within=6)
    assert photo.notes == ()


def heic(picture: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=95, **options)
    return buffer.getvalue()


def test_reads_heic(tmp_path: Path) -> None:
    assert_shows(read(tmp_path, heic(quarters(QUADRANTS)), "IMG_0001.HEIC").image, within=6)


def test_refuses_heic_by_name_without_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(quarters(QUADRANTS))
    real_import = builtins.__import__

    def no_pillow_heif(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pillow_heif)
    assert "HEIC" in refusal(tmp_path, data)


def test_refuses_avif_by_name_without_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(quarters(QUADRANTS), "AVIF")
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    assert "AVIF" in refusal(tmp_path, data)


def as_stored(scene: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A camera held so that EXIF says ``orientation`` stores the scene turned the other way."""
    across = scene.transpose(1, 0, 2)
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: across,
        6: across[::-1],  # row 0 of the file is the right side of the scene, column 0 its top
        7: across[::-1, ::-1],
        8: across[:, ::-1],
    }
    return np.ascontiguousarray(stored[orientation])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    stored = as_stored(np.asarray(quarters(QUADRANTS)), orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = (
        {"lossless": True} if kind == "WEBP" else {} if kind in ("PNG", "TIFF") else {"quality": 95}
    )
    data = encoded(Image.fromarray(stored), kind, exif=exif, **options)
    photo = read(tmp_path, data)
    assert photo.image.size == (WIDTH, HEIGHT)
    assert_shows(photo.image, within=6)
    assert_shows(as_photo(photo.image), within=6)  # and not turned again
    with Image.open(io.BytesIO(data)) as opened:
        assert_shows(as_photo(opened), within=6)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage that is no TIFF",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\x00\x03\xff\xff\xff\xff\0\0\0\0" * 3,
        b"Exif\0\0" + tiff({0x0112: (3, [9])}),
        b"Exif\0\0" + tiff({0x0112: (11, [float("nan")])}),  # type: ignore[list-item]
    ],
)
def test_ignores_broken_exif(tmp_path: Path, exif: bytes) -> None:
    photo = read(tmp_path, encoded(quarters(QUADRANTS), "JPEG", quality=95, exif=exif))
    assert photo.image.size == (WIDTH, HEIGHT)
    assert_shows(photo.image, within=6)


def test_cmyk_jpeg_is_inverted_as_adobe_stores_it(tmp_path: Path) -> None:
    data = encoded(
        quarters(((0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)), "CMYK"), "JPEG", quality=95
    )
    assert b"Adobe" in data
    photo = read(tmp_path, data)
    assert_shows(photo.image, ((255, 0, 0), (0, 255, 0), 0, 255), within=6)
    assert photo.notes == ("colours converted from CMYK",)


def test_ycck_jpeg(tmp_path: Path) -> None:
    """YCCK is CMY as YCbCr beside K: here from a CMYK file whose planes are swapped for those and marked so."""
    cmy = quarters(((0, 255, 255), (255, 0, 255), (0, 0, 0), (255, 255, 0)))  # red, green, white, blue
    planes = [plane.point(lambda value: 255 - value) for plane in cmy.convert("YCbCr").split()]  # Pillow inverts again
    data = encoded(Image.merge("CMYK", (*planes, Image.new("L", cmy.size, 0))), "JPEG", quality=95)
    marker = data.index(b"\xff\xee")
    assert data[marker + 15] == 0  # the transform: none
    photo = read(tmp_path, data[: marker + 15] + b"\x02" + data[marker + 16 :])
    assert_shows(photo.image, ((255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 255)), within=8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_grey_of_eight_bits_is_as_it_is(tmp_path: Path, order: Order) -> None:
    values = quarter_array(tuple(grey * 257 for grey in GREYS), "u2")
    photo = read(tmp_path, grey_tiff(values, 1, order))
    assert_shows(photo.image, GREYS)
    assert photo.notes == ()


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colours_of_a_png_keep_their_lower_byte(tmp_path: Path, colour_type: int, channels: int) -> None:
    """A camera of twelve bits: the upper bytes alone hold sixteen levels."""
    ramp = np.linspace(0, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    values = np.stack([ramp, ramp[::-1], ramp[:, ::-1]][: (channels - 1) // 2 * 2 + 1], axis=-1)
    opaque = np.full((HEIGHT, WIDTH, int(channels % 2 == 0)), 65535)
    rows = np.concatenate([np.rint(values), opaque], axis=-1).astype(">u2")
    assert rows.shape[2] == channels
    data = png((WIDTH, HEIGHT), zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)), 16, colour_type)
    photo = read(tmp_path, data)
    low, high = np.percentile(np.rint(values), (0.2, 99.8))
    expected = np.rint((np.rint(values).clip(low, high) - low) / (high - low) * 255)
    assert np.abs(np.asarray(photo.image) - expected).max() <= 1
    assert len(photo.notes) == 1


@pytest.mark.parametrize(
    ("primaries", "transfer", "word"), [(9, 16, "PQ"), (9, 18, "HLG"), (12, 13, "Display P3"), (1, 13, "")]
)
def test_a_word_on_colours_that_are_not_of_a_screen(tmp_path: Path, primaries: int, transfer: int, word: str) -> None:
    rows = zlib.compress((b"\0" + bytes((200,)) * WIDTH * 3) * HEIGHT)
    chunk = png_chunk(b"cICP", bytes((primaries, transfer, 0, 1)))
    notes = read(tmp_path, png((WIDTH, HEIGHT), rows, extra=chunk)).notes
    assert [word in note for note in notes] == ([True] if word else [])


def test_sixteen_bit_grey_png(tmp_path: Path) -> None:
    rows = quarter_array(tuple(grey * 257 for grey in GREYS), ">u2")
    data = png((WIDTH, HEIGHT), zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)), 16, 0)
    photo = read(tmp_path, data)
    assert_shows(photo.image, GREYS)
    assert photo.notes == ()


@pytest.mark.parametrize(
    ("dtype", "sample_format", "values", "expected"),
    [
        ("u4", 1, (0, 16384, 32768, 65535), (0, 64, 128, 255)),
        ("i4", 2, (0, 64, 128, 255), (0, 64, 128, 255)),
        ("i4", 2, (0, 1024, 2048, 4095), (0, 64, 128, 255)),
        ("i2", 2, (-100, 0, 100, 300), (0, 64, 128, 255)),
        ("f4", 3, (0.0, 0.25, 0.5, 1.0), (0, 64, 128, 255)),
        ("f4", 3, (0.0, 64.0, 128.0, 255.0), (0, 64, 128, 255)),
        ("f4", 3, (0.0, 2.5e5, 5e5, 1e6), (0, 64, 128, 255)),
        ("f4", 3, (-1.0, float("nan"), 0.0, 1.0), (0, 0, 128, 255)),
        ("f4", 3, (0.0, float("inf"), 0.5, 1.0), (0, 255, 128, 255)),
        ("f4", 3, (-3e38, 3e38, 0.0, 3e38), (0, 255, 128, 255)),
    ],
)
def test_grey_of_other_numbers(
    tmp_path: Path, dtype: str, sample_format: int, values: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    orders: tuple[Order, ...] = ("<", ">") if dtype != "u4" else ("<",)  # Pillow knows no other
    for order in orders:
        photo = read(tmp_path, grey_tiff(quarter_array(values, dtype), sample_format, order))
        assert_shows(photo.image, expected, within=1)
        assert any("shown as black to white" in note for note in photo.notes)


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "rgba": lambda: encoded(quarters((RED, GREEN, (9, 9, 9, 0), (0, 0, 0, 128)), "RGBA"), "PNG"),
    "rgba webp": lambda: encoded(
        quarters((RED, GREEN, (9, 9, 9, 0), (0, 0, 0, 128)), "RGBA"), "WEBP", lossless=True, exact=True
    ),
    "rgba tiff": lambda: encoded(quarters((RED, GREEN, (9, 9, 9, 0), (0, 0, 0, 128)), "RGBA"), "TIFF"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_is_shown_on_white(tmp_path: Path, name: str) -> None:
    photo = read(tmp_path, TRANSPARENT[name]())
    assert_shows(photo.image, (RED, GREEN, (255, 255, 255), (127, 127, 127)), within=1)
    assert photo.notes == ("transparent areas shown on white",)


def palette_picture() -> Image.Image:
    picture = quarters((0, 1, 2, 3), "P")
    picture.putpalette([*RED, *GREEN, *BLUE, *YELLOW])
    return picture


@pytest.mark.parametrize(
    ("picture", "kind", "transparency", "expected"),
    [
        (palette_picture(), "GIF", 2, (RED, GREEN, (255, 255, 255), YELLOW)),
        (palette_picture(), "PNG", 2, (RED, GREEN, (255, 255, 255), YELLOW)),
        (palette_picture(), "PNG", bytes((255, 255, 0, 255)), (RED, GREEN, (255, 255, 255), YELLOW)),
        (quarters(QUADRANTS), "PNG", BLUE, (RED, GREEN, (255, 255, 255), YELLOW)),
        (quarters(GREYS, "L"), "PNG", GREYS[0], (255, *GREYS[1:])),
        (quarters((0, 1, 1, 0), "1"), "PNG", 0, (255, 255, 255, 255)),
        (quarters(GREYS, "L").convert("LA"), "PNG", None, GREYS),
    ],
)
def test_one_transparent_colour(
    tmp_path: Path, picture: Image.Image, kind: str, transparency: Any, expected: tuple[Any, ...]
) -> None:
    options = {} if transparency is None else {"transparency": transparency}
    photo = read(tmp_path, encoded(picture, kind, **options))
    assert_shows(photo.image, expected)
    assert photo.notes == (() if transparency is None else ("transparent areas shown on white",))


def test_grey_with_alpha(tmp_path: Path) -> None:
    picture = quarters(GREYS, "L").convert("LA")
    picture.putalpha(quarters((255, 0, 255, 255), "L"))
    assert_shows(read(tmp_path, encoded(picture, "PNG")).image, (GREYS[0], 255, *GREYS[2:]))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_first_frame_of_an_animation(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "AVIF" else {}
    later = [quarters(QUADRANTS[::-1]), quarters((BLUE,) * 4)]
    data = encoded(quarters(QUADRANTS), kind, save_all=True, append_images=later, duration=100, **options)
    photo = read(tmp_path, data)
    assert_shows(photo.image, within=6 if kind == "AVIF" else 0)
    assert photo.notes == ("first frame of an animation",)


def test_animation_with_a_broken_second_frame(tmp_path: Path) -> None:
    data = encoded(quarters(QUADRANTS), "GIF", save_all=True, append_images=[quarters(QUADRANTS[::-1])])
    assert_shows(read(tmp_path, data[: data.rindex(b"\x2c") + 4]).image)


def test_first_page_of_a_tiff(tmp_path: Path) -> None:
    photo = read(tmp_path, encoded(quarters(QUADRANTS), "TIFF", save_all=True, append_images=[quarters((RED,) * 4)]))
    assert_shows(photo.image)
    assert photo.notes == ("page 1 of 2",)


def test_main_picture_of_a_heic(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    several = pillow_heif.from_pillow(quarters((RED,) * 4))
    several.add_from_pillow(quarters(QUADRANTS))
    buffer = io.BytesIO()
    several.save(buffer, quality=95, primary_index=1)
    photo = read(tmp_path, buffer.getvalue())
    assert_shows(photo.image, within=6)
    assert photo.notes == ("main one of several pictures",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_wide_gamut_is_converted(tmp_path: Path, kind: str) -> None:
    colours = ((160, 90, 80), (100, 140, 90), (120, 110, 160), (200, 200, 200))  # all inside of sRGB
    options: dict[str, Any] = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    photo = read(tmp_path, encoded(quarters(colours), kind, icc_profile=wide_gamut_profile(), **options))
    light = (np.array(colours) / 255) ** 2.2 @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T
    assert np.abs(quarter_colours(photo.image) - as_srgb(light)).max() <= (4 if kind == "JPEG" else 2)
    assert np.abs(as_srgb(light) - colours).max() > 9
    assert photo.notes == ("colours converted from Display P3",)
    assert "icc_profile" not in photo.image.info


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = read(tmp_path, encoded(quarters(QUADRANTS), "PNG", icc_profile=srgb))
    assert_shows(photo.image)
    assert photo.notes == ()


def test_grey_profile_is_converted(tmp_path: Path) -> None:
    photo = read(tmp_path, encoded(quarters(GREYS, "L"), "PNG", icc_profile=grey_profile(1.0)))
    assert np.abs(quarter_colours(photo.image)[:, 0] - as_srgb(np.array(GREYS) / 255)).max() <= 2
    assert photo.notes == ("colours converted from Grey",)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no profile at all",
        wide_gamut_profile()[:200],
        grey_profile(2.2),
        wide_gamut_profile()[:128] + b"\xff" * 400,
    ],
)
def test_broken_or_unfit_profile_is_ignored(tmp_path: Path, broken: bytes) -> None:
    photo = read(tmp_path, encoded(quarters(QUADRANTS), "PNG", icc_profile=broken))
    assert_shows(photo.image)
    assert photo.notes == ()


def test_huge_profile_is_ignored(tmp_path: Path) -> None:
    data = encoded(quarters(QUADRANTS), "TIFF", icc_profile=wide_gamut_profile() + bytes(5 * 2**20))
    assert_shows(read(tmp_path, data).image)


def test_profile_name_cannot_carry_markup(tmp_path: Path) -> None:
    hostile = wide_gamut_profile("<script>alert(1)</script>\n" + "x" * 200)
    (note,) = read(tmp_path, encoded(quarters(QUADRANTS), "PNG", icc_profile=hostile)).notes
    assert not set("<>\n/&\"'") & set(note)
    assert len(note) < 80


def test_lab_tiff(tmp_path: Path) -> None:
    """L* in 0 to 255 for 0 to 100, a* and b* signed: mid-grey, and pure sRGB red, which is Lab (D50) 54.3, 80.8, 69.9."""
    row = struct.pack("Bbb", 137, 0, 0) * (WIDTH // 2) + struct.pack("Bbb", 138, 81, 70) * (WIDTH // 2)
    entries = {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [8])}
    entries |= {273: (4, [8]), 277: (3, [3]), 278: (4, [HEIGHT]), 279: (4, [len(row) * HEIGHT])}
    photo = read(tmp_path, tiff(entries, row * HEIGHT))
    assert_shows(photo.image, (128, (255, 0, 0), 128, (255, 0, 0)), within=6)


@pytest.mark.parametrize("name", ["photo.png", "photo.txt", "photo.eps", "photo", "photo.svg", "photo.JPG.exe"])
def test_content_counts_not_the_extension(tmp_path: Path, name: str) -> None:
    assert_shows(read(tmp_path, encoded(quarters(QUADRANTS), "JPEG", quality=95), name).image, within=6)


@pytest.mark.parametrize("size", [(MIN_SIDE, MIN_SIDE), (MIN_SIDE, 5000), (5000, MIN_SIDE), (33, 47)])
def test_any_shape_from_the_smallest(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read(tmp_path, encoded(Image.new("RGB", size, RED), "PNG")).image.size == size


def test_forty_megapixels(tmp_path: Path) -> None:
    photo = read(tmp_path, encoded(quarters(GREYS, "L", (8000, 5000)), "PNG", compress_level=1))
    assert photo.image.size == (8000, 5000)
    assert_shows(photo.image, GREYS)


def test_flat_grey_and_black_pictures_are_whole(tmp_path: Path) -> None:
    """Their bottom rows look just as missing ones do."""
    grey = read(tmp_path, encoded(Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128)), "JPEG")).image
    assert_shows(grey, (128,) * 4)
    assert_shows(read(tmp_path, encoded(quarters((RED, GREEN, 0, 0)), "PNG")).image, (RED, GREEN, 0, 0))
    bottom = quarters((RED, GREEN, (128,) * 3, (128,) * 3))
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 1}):
        assert_shows(read(tmp_path, encoded(bottom, "JPEG", **options)).image, (RED, GREEN, 128, 128), within=12)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        black = Image.new(mode, (33, 35))
        assert read(tmp_path, encoded(black, "PNG")).image.size == (33, 35)


# --- Files that are refused ---------------------------------------------------------------------------------------


def noise(size: tuple[int, int] = (320, 240)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"Dear photo,\nthis is text.\n", "text"),
        (b"\0" * 5000, "not a photo"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF89a", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "HEIC"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a drawing -->\n<svg width="64">', "SVG"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        (b"\n\n%PDF-1.4", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(28), "PostScript"),
        (b"8BPS\0\x01" + bytes(20), "Photoshop"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\0\0\x01\0\x01\0", "icon"),
        (b"PK\x03\x04" + bytes(30), "archive"),
        (b"\x1f\x8b\x08" + bytes(30), "archive"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "raw"),
        (b"II*\0\x10\0\0\0CR\x02\0", "raw"),
        (b"\0\0\0\x18ftypmif3\0\0\0\0mif3", "HEIF"),
        (bytes(128) + b"DICM" + bytes(64), "DICOM"),
        (b"\x5c\x01\0\0" + bytes(340) + b"n+1\0", "NIfTI"),
        (gzip.compress(b"\x5c\x01\0\0" + bytes(340) + b"n+1\0" + bytes(5000), mtime=0), "NIfTI"),
        (b"ZISRAWFILE" + bytes(64), "CZI"),
        (b"\xda\xce\xbe\x0a" + bytes(64), "ND2"),
        (b"\x70\0\0\0\x10\0\0\0\x2a" + bytes(64), "LIF"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"<!DOCTYPE html><html>not found</html>", "web page"),
        (b"P6 64 64 255\n" + bytes(64 * 64 * 3), "not a photo"),
    ],
)
def test_names_what_it_refuses(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path, data, "photo.jpg")


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "PDF", "JPEG2000", "IM", "ICNS"])
def test_decoders_off_the_list_are_never_reached(tmp_path: Path, kind: str) -> None:
    name = "photo.jpg" if kind != "IM" else "photo.im"
    refusal(tmp_path, encoded(quarters(QUADRANTS), kind), name)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_cut_short(tmp_path: Path, kind: str, part: float) -> None:
    data = encoded(noise(), kind)
    sentence = refusal(tmp_path, data[: int(len(data) * part)])
    assert "cut short" in sentence or "broken" in sentence


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_tiff_without_its_end(tmp_path: Path, compression: str) -> None:
    """The directory comes first and whole, the pixels after it are cut."""
    data = encoded(noise(), "TIFF", compression=compression)
    directory = struct.unpack("<I", data[4:8])[0]
    start = 8 if directory > 100 else len(data) // 2
    refusal(tmp_path, data[:start] + data[max(start, directory) :] if start == 8 else data[:start])


def test_cut_heic(tmp_path: Path) -> None:
    data = heic(noise())
    for part in (0.1, 0.5, 0.9):
        refusal(tmp_path, data[: int(len(data) * part)])


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_cut_jpeg_closed_with_an_end_marker(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    data = encoded(noise().convert(mode), "JPEG", **options)
    for part in (0.4, 0.7, 0.9):
        assert "cut short" in refusal(tmp_path, data[: int(len(data) * part)] + b"\xff\xd9")
    assert "cut short" in refusal(tmp_path, data[: len(data) // 2] + bytes(len(data) // 2))


@pytest.mark.parametrize("rows", [1, HEIGHT // 2, HEIGHT - 1])
def test_png_whose_compressed_rows_end_early(tmp_path: Path, rows: int) -> None:
    row = b"\0" + bytes((200,)) * WIDTH * 3
    assert "cut short" in refusal(tmp_path, png((WIDTH, HEIGHT), zlib.compress(row * rows)))
    assert_shows(read(tmp_path, png((WIDTH, HEIGHT), zlib.compress(row * HEIGHT))).image, (200,) * 4)


def test_tiff_with_missing_strips(tmp_path: Path) -> None:
    whole = quarter_array(GREYS, "u1")
    half = grey_tiff(whole, 1, t273=(4, [8]), t278=(4, [HEIGHT // 2]), t279=(4, [whole.size // 2]))
    assert "cut short" in refusal(tmp_path, half)


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (1, 5000), (5000, 1), (31, 5000), (5000, 31)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        sentence = refusal(tmp_path, encoded(Image.new("RGB", size), kind))
        assert f"{size[0]} x {size[1]}" in sentence
        assert f"{MIN_SIDE} x {MIN_SIDE}" in sentence


def bomb_png(size: tuple[int, int]) -> bytes:
    """Rows of zeros, a thousand times smaller compressed, and again: 32 MB of them are enough to be told."""
    return png(size, zlib.compress(bytes(32 * 2**20), 9))


def bomb_tiff(size: tuple[int, int]) -> bytes:
    pixels = zlib.compress(bytes(32 * 2**20), 9)
    entries = {256: (4, [size[0]]), 257: (4, [size[1]]), 258: (3, [8]), 259: (3, [8]), 262: (3, [1])}
    return tiff(entries | {273: (4, [8]), 277: (3, [1]), 278: (4, [size[1]]), 279: (4, [len(pixels)])}, pixels)


def renamed_size_jpeg(size: tuple[int, int]) -> bytes:
    data = bytearray(encoded(quarters(QUADRANTS), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", size[1], size[0])
    return bytes(data)


def renamed_size_gif(size: tuple[int, int]) -> bytes:
    data = bytearray(encoded(quarters(QUADRANTS).quantize(8), "GIF"))
    data[6:10] = struct.pack("<HH", *size)
    return bytes(data)


def renamed_size_bmp(size: tuple[int, int]) -> bytes:
    data = bytearray(encoded(quarters(QUADRANTS), "BMP"))
    data[18:26] = struct.pack("<ii", *size)
    return bytes(data)


def large_tiff(size: tuple[int, int]) -> bytes:
    """Uncompressed, and all but empty."""
    entries = {256: (4, [size[0]]), 257: (4, [size[1]]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2])}
    return tiff(entries | {273: (4, [8]), 277: (3, [3]), 278: (4, [size[1]]), 279: (4, [100])}, bytes(100))


BOMBS = {
    "png": (bomb_png, (50_000, 50_000)),
    "png wide": (bomb_png, (2**31 - 1, 32)),
    "png just over": (bomb_png, (8000, 5001)),
    "tiff": (bomb_tiff, (50_000, 50_000)),
    "tiff raw": (large_tiff, (50_000, 50_000)),
    "tiff huge": (bomb_tiff, (2**32 - 1, 2**32 - 1)),
    "jpeg": (renamed_size_jpeg, (50_000, 50_000)),
    "jpeg largest": (renamed_size_jpeg, (65_535, 65_535)),
    "gif": (renamed_size_gif, (50_000, 50_000)),
    "bmp": (renamed_size_bmp, (50_000, 50_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_too_large_is_refused_undecoded(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, size = BOMBS[name]
    data = build(size)

    def no_decoder(*args: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image, "_getdecoder", no_decoder)
    tracemalloc.start()
    sentence = refusal(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert f"{size[0]:,} x {size[1]:,}" in sentence
    assert f"{MAX_PIXELS // 10**6} megapixels" in sentence


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_too_large_of_other_kinds(tmp_path: Path, kind: str) -> None:
    data = encoded(Image.new("RGB", (6400, 6400)), kind, **({"method": 0} if kind == "WEBP" else {"speed": 10}))
    assert "41.0 megapixels" in refusal(tmp_path, data)


def test_side_too_long(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, encoded(Image.new("1", (MAX_SIDE + 1, MIN_SIDE)), "PNG"))
    assert "65,535" in sentence


def test_gif_frame_larger_than_its_screen(tmp_path: Path) -> None:
    """Pillow lets a frame enlarge the picture, which warns of itself from 90 megapixels on."""
    data = bytearray(encoded(quarters(QUADRANTS).quantize(8), "GIF"))
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at : at + 4] = struct.pack("<HH", 10_000, 10_000)
    assert "megapixels" in refusal(tmp_path, bytes(data))


def test_tiff_with_a_tile_larger_than_any_picture(tmp_path: Path) -> None:
    pixels = zlib.compress(bytes(2**20), 9)
    entries = {256: (4, [64]), 257: (4, [64]), 258: (3, [8]), 259: (3, [8]), 262: (3, [1]), 277: (3, [1])}
    entries |= {322: (4, [32_768]), 323: (4, [32_768]), 324: (4, [8]), 325: (4, [len(pixels)])}
    assert "tiles" in refusal(tmp_path, tiff(entries, pixels))


def test_jpeg_of_endless_scans(tmp_path: Path) -> None:
    data = encoded(quarters(QUADRANTS), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert_shows(read(tmp_path, data).image, within=12)
    assert "scans" in refusal(tmp_path, data[:-2] + last_scan * 200 + b"\xff\xd9")


@pytest.mark.parametrize("chunk", [b"iCCP", b"zTXt", b"iTXt"])
def test_png_with_a_text_or_profile_bomb(tmp_path: Path, chunk: bytes) -> None:
    """64 MB out of 64 KB: read without it or refused, and never unpacked."""
    head = {b"iCCP": b"name\0\0", b"zTXt": b"name\0\0", b"iTXt": b"name\0\x01\0\0\0"}[chunk]
    bomb = png_chunk(chunk, head + zlib.compress(bytes(64 * 2**20), 9))
    rows = zlib.compress((b"\0" + bytes((200,)) * WIDTH * 3) * HEIGHT)
    path = tmp_path / "bomb.png"
    path.write_bytes(png((WIDTH, HEIGHT), rows, extra=bomb))
    tracemalloc.start()
    with suppress(PhotoError):
        assert_shows(read_photo(path).image, (200,) * 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_raw_file_is_not_mistaken_for_its_thumbnail(tmp_path: Path) -> None:
    values = quarter_array(GREYS, "u1")
    assert "raw" in refusal(tmp_path, grey_tiff(values, 1, t50706=(1, [1, 4, 0, 0])))
    assert "raw" in refusal(tmp_path, grey_tiff(values, 1, t254=(4, [1]), t330=(4, [8])))
    assert_shows(read(tmp_path, grey_tiff(values, 1)).image, GREYS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"])
def test_garbage_behind_a_good_start(tmp_path: Path, kind: str) -> None:
    data = encoded(noise(), kind)
    garbage = np.random.default_rng(1).bytes(len(data))
    head = 40 if kind != "AVIF" else 200
    try:
        photo = read(tmp_path, data[:head] + garbage[head:])
    except PhotoError:
        return
    assert photo.image.mode == "RGB"


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", str(tmp_path / "none.jpg"), tmp_path / "no" / "such" / "folder.jpg"):
        with pytest.raises(PhotoError, match=r"^There is no such file\.$"):
            read_photo(path)
    for odd in ("nul\0.jpg", "x" * 5000):
        with pytest.raises(PhotoError, match=r"^The file cannot be opened\.$"):
            read_photo(odd)
    with pytest.raises(PhotoError, match="folder"):
        read_photo(tmp_path)
    with pytest.raises(PhotoError, match="not an ordinary file"):
        read_photo("/dev/zero")


def test_file_without_end(tmp_path: Path) -> None:
    path = tmp_path / "large.webp"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(PhotoError, match="larger than 512 MB"):
        read_photo(path)


def test_nothing_is_printed(tmp_path: Path) -> None:
    """What Pillow warns of does not reach the shell."""
    (tmp_path / "a").write_bytes(bomb_png((10_000, 10_000)))
    (tmp_path / "b").write_bytes(encoded(noise(), "TIFF", compression="tiff_lzw")[:-3000])
    (tmp_path / "c").write_bytes(grey_tiff(quarter_array(GREYS, "u1"), 1)[:-8])
    frames = [noise(), noise().rotate(90)]
    (tmp_path / "e").write_bytes(
        encoded(frames[0], "PNG", save_all=True, append_images=frames).replace(b"acTL\0\0\0\3", b"acTL\0\0\0\0")
    )
    (tmp_path / "f").write_bytes(encoded(quarters(QUADRANTS), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"))
    gif = bytearray(encoded(quarters(QUADRANTS).quantize(8), "GIF"))
    gif[gif.index(b"\x2c\0\0\0\0") + 5 :][:4] = struct.pack("<HH", 10_000, 10_000)
    (tmp_path / "g").write_bytes(gif)
    program = (
        "import sys; from segmodels.inference.photo import *\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_photo(path)\n"
        "    except PhotoError: pass\n"
    )
    command = [sys.executable, "-c", program, *map(str, sorted(tmp_path.iterdir()))]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_many_threads_each_get_their_own(tmp_path: Path) -> None:
    paths, wrong = [], []
    for index, kind in enumerate(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "PNG"]):
        colours = tuple(np.roll(QUADRANTS, index, axis=0).tolist())
        picture = quarters(tuple(map(tuple, colours)))
        options: dict[str, Any] = {"icc_profile": wide_gamut_profile()} if index == 5 else {}
        paths.append((tmp_path / str(index), picture))
        paths[-1][0].write_bytes(encoded(picture, kind, **options))
    expected = [quarter_colours(read_photo(path).image) for path, _ in paths]

    def work(start: int) -> None:
        for turn in range(30):
            index = (start + turn) % len(paths)
            if not np.array_equal(quarter_colours(read_photo(paths[index][0]).image), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for index in range(5):
        assert_shows(
            read_photo(paths[index][0]).image, tuple(map(tuple, np.roll(QUADRANTS, index, axis=0).tolist())), 12
        )


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read(tmp_path, encoded(quarters(QUADRANTS), "PNG"))
    refusal(tmp_path, b"\x89PNG\r\n\x1a\n")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_no_metadata_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    for kind in ("JPEG", "PNG", "WEBP"):
        image = read(tmp_path, encoded(quarters(QUADRANTS), kind, exif=exif, icc_profile=wide_gamut_profile())).image
        assert not image.info
        assert b"where I live" not in encoded(image, "PNG")


# --- Pictures in memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode",
    [
        "1",
        "L",
        "LA",
        "La",
        "P",
        "PA",
        "RGB",
        "RGBA",
        "RGBa",
        "RGBX",
        "CMYK",
        "YCbCr",
        "HSV",
        "LAB",
        "I",
        "F",
        "I;16",
        "I;16B",
        "I;16L",
        "I;16N",
    ],
)
def test_as_photo_takes_any_mode(mode: str) -> None:
    picture = as_photo(Image.new(mode, (WIDTH, HEIGHT)))
    assert (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "YCbCr", "HSV", "P", "CMYK"])
def test_as_photo_keeps_colours(mode: str) -> None:
    scene = quarters(QUADRANTS)
    picture = scene.quantize(8) if mode == "P" else scene.convert(mode)
    assert_shows(as_photo(picture), within=4)


def test_as_photo_of_an_array() -> None:
    scene = np.asarray(quarters(QUADRANTS))
    assert_shows(as_photo(scene))
    assert_shows(as_photo(scene[::-1, ::-1]), QUADRANTS[::-1])
    assert_shows(as_photo(np.asfortranarray(scene)))


def test_as_photo_leaves_a_good_picture_alone() -> None:
    scene = quarters(QUADRANTS)
    assert as_photo(scene) is scene


def test_as_photo_leaves_its_argument_alone() -> None:
    data = encoded(quarters(QUADRANTS), "PNG", icc_profile=wide_gamut_profile())
    picture = Image.open(io.BytesIO(data))
    as_photo(picture)
    assert picture.info["icc_profile"] == wide_gamut_profile()
    assert_shows(picture)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((64, 64), np.uint8), r"\(64, 64\) uint8"),
        (np.zeros((64, 64, 4), np.uint8), r"\(64, 64, 4\)"),
        (np.zeros((3, 64, 64), np.uint8), r"\(3, 64, 64\)"),
        (np.zeros((1, 64, 64, 3), np.uint8), r"\(1, 64, 64, 3\)"),
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((64, 64, 3), bool), "bool"),
        (np.zeros((0, 64, 3), np.uint8), "64 x 0"),
        (np.zeros((31, 64, 3), np.uint8), "64 x 31"),
        (np.broadcast_to(np.uint8(0), (6000, 8000, 3)), "48.0 megapixels"),
    ],
)
def test_as_photo_refuses_arrays(array: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_photo(array)


@pytest.mark.parametrize("thing", ["photo.jpg", b"bytes", None, 5, [[0]], Path("photo.jpg")])
def test_as_photo_refuses_other_things(thing: Any) -> None:
    with pytest.raises(TypeError, match=type(thing).__name__):
        as_photo(thing)


def test_as_photo_of_an_unread_broken_file() -> None:
    data = encoded(noise(), "JPEG")
    with pytest.raises(PhotoError, match="cut short"):
        as_photo(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_as_photo_of_a_wrong_size() -> None:
    with pytest.raises(PhotoError, match="31 x 64"):
        as_photo(Image.new("RGB", (31, 64)))
    with pytest.raises(PhotoError, match="megapixels"):
        as_photo(Image.new("1", (8000, 5001)))


# --- Mutated files ------------------------------------------------------------------------------------------------


def test_a_short_fuzz_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.stress.fuzz_photo", "--count", "300", "--keep", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "300 files" in ran.stdout
