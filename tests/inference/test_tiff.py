"""TIFFs of microscopes, cameras and maps, written by tifffile or Pillow, or by hand: the truth is what was written."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segmodels.inference.photo import PhotoError, open_stack, read_photo
from segmodels.inference.reading.display_range import eight_bit, robust_range
from segmodels.inference.reading.tiff_structure import TiffStack
from segmodels.inference.reading.tiff_values import page_values

HEIGHT, WIDTH = 70, 101


def values_of(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        stack = TiffStack(file)
        return page_values(stack.page({}), file, stack.byte_order)


def smooth(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Values without any regularity that a mixed-up plane or byte could hide in."""
    walk = np.random.default_rng(0).normal(size=shape).cumsum(axis=-1)
    if np.dtype(dtype).kind == "f":
        return walk.astype(dtype)
    limits = np.iinfo(dtype)
    share = (walk - walk.min()) / np.ptp(walk)
    return (limits.min // 2 + share * (limits.max / 2 - limits.min / 2)).astype(dtype)


def shown(path: Path, **place: int) -> NDArray[np.uint8]:
    """The red channel of the photo."""
    return np.asarray(read_photo(path, display_range=None, **place).image)[..., 0]


@pytest.mark.parametrize("tile", [None, (32, 48)])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_values_of_every_type(
    tmp_path: Path, dtype: str, compression: str | None, order: Any, tile: tuple[int, int] | None
) -> None:
    path = tmp_path / "a.tif"
    for planar, shape in (("contig", (HEIGHT, WIDTH, 3)), ("separate", (3, HEIGHT, WIDTH))):
        written = smooth(shape, dtype)
        tifffile.imwrite(
            path,
            written,
            photometric="rgb",
            planarconfig=planar,
            byteorder=order,
            compression=compression,
            predictor=2 if compression and np.dtype(dtype).kind != "f" else None,
            tile=tile,
            rowsperstrip=None if tile else 16,
        )
        read = values_of(path)
        assert read.dtype == np.dtype(dtype)
        assert (read == (written if planar == "contig" else written.transpose(1, 2, 0))).all()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
@pytest.mark.parametrize(("dtype", "predictor"), [("u2", 1), ("u2", 2), ("f4", 1), ("f4", 3)])
def test_values_that_libtiff_packed(tmp_path: Path, compression: str, dtype: str, predictor: int) -> None:
    path = tmp_path / "a.tif"
    written = smooth((HEIGHT, WIDTH), dtype)
    options: dict[str, Any] = {} if predictor == 1 or compression == "packbits" else {"tiffinfo": {317: predictor}}
    Image.fromarray(written).save(path, compression=compression, **options)
    assert (values_of(path) == written).all()


def test_twelve_bits_a_pixel(tmp_path: Path) -> None:
    written = smooth((HEIGHT, WIDTH), "u2") >> 4
    bits = np.unpackbits(written.astype(">u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2), axis=2)[..., 4:]
    rows = np.packbits(bits.reshape(HEIGHT, -1), axis=1).tobytes()
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((HEIGHT, WIDTH), np.uint16), metadata=None)
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        places = {name: tags[name].valueoffset for name in ("BitsPerSample", "StripByteCounts")}
        start = file.pages.first.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[places["BitsPerSample"]] = 12
    data[places["StripByteCounts"] : places["StripByteCounts"] + 4] = len(rows).to_bytes(4, "little")
    data[start : start + len(rows)] = rows
    path.write_bytes(data)
    assert (values_of(path) == written).all()


def test_eight_bit_agrees_with_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for planar, shape in (("contig", (HEIGHT, WIDTH, 3)), ("separate", (3, HEIGHT, WIDTH))):
        tifffile.imwrite(path, smooth(shape, "u1"), photometric="rgb", planarconfig=planar)
        with Image.open(path) as image:
            assert (np.asarray(image) == np.asarray(read_photo(path).image)).all()


# --- Which values are black and white -----------------------------------------------------------------------------


def test_a_twelve_bit_camera_is_not_black(tmp_path: Path) -> None:
    written = np.linspace(200, 1500, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", written)
    photo = read_photo(tmp_path / "a.tif")
    low, high = np.percentile(written, (0.2, 99.8))
    expected = np.rint((written.clip(low, high) - low) / (high - low) * 255)
    assert np.abs(np.asarray(photo.image)[..., 0] - expected).max() <= 1
    assert photo.notes == (
        f"values {low:.4g} to {high:,.0f} shown as black to white (from the 0.2th to the 99.8th percentile)",
    )


def test_one_hot_pixel_does_not_decide(tmp_path: Path) -> None:
    written = np.linspace(200, 1500, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", written)
    hot = written.copy()
    hot[30, 30] = 65535
    tifffile.imwrite(tmp_path / "b.tif", hot)
    difference = np.abs(shown(tmp_path / "a.tif").astype(int) - shown(tmp_path / "b.tif"))
    difference[30, 30] = 0
    assert difference.max() <= 1


def test_decimals_with_one_value_above_one() -> None:
    values = np.linspace(0, 1, 6400, dtype=np.float32).reshape(80, 80)
    values[3, 3] = 50
    picture, _ = eight_bit(values)
    assert abs(int(picture[40, 0]) - 128) <= 2


@pytest.mark.parametrize("tagged", [True, False])
def test_areas_without_data_are_left_out(tmp_path: Path, tagged: bool) -> None:
    written = np.linspace(300, 800, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    written[:20] = -9999
    tags = [(42113, "s", 0, "-9999", True)] if tagged else []
    tifffile.imwrite(tmp_path / "a.tif", written, extratags=tags)
    photo = read_photo(tmp_path / "a.tif")
    seen = np.asarray(photo.image)[..., 0]
    assert (seen[:20] == 0).all()
    assert seen[20:].min() <= 1
    assert seen[20:].max() == 255
    assert abs(int(seen[45, 50]) - 128) <= 3
    assert "areas without data shown as black" in photo.notes


def test_pixels_without_a_number_are_counted_and_black(tmp_path: Path) -> None:
    written = smooth((HEIGHT, WIDTH), "f4")
    written[:20, :20] = np.nan
    written[-1, -1] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", written)
    photo = read_photo(tmp_path / "a.tif")
    assert "401 of 7,070 values are infinite or no number" in photo.notes
    assert not np.asarray(photo.image)[:20, :20].any()
    tifffile.imwrite(tmp_path / "a.tif", np.full((HEIGHT, WIDTH), np.nan, np.float32))
    with pytest.raises(PhotoError, match="no valid value"):
        read_photo(tmp_path / "a.tif")


def test_depths_below_the_usual_no_data_are_data() -> None:
    values = np.linspace(-9999, 0, 6400, dtype=np.float32).reshape(80, 80)
    assert robust_range(values).low < -9900
    picture, notes = eight_bit(values)
    assert abs(int(picture[40, 0]) - 128) <= 2
    assert len(notes) == 1


def test_not_a_number_is_left_out() -> None:
    values = np.linspace(0, 1, 6400, dtype=np.float32).reshape(80, 80)
    values[::2] = np.nan
    chosen = robust_range(values)
    assert 0 <= chosen.low < 0.02
    assert 0.98 < chosen.high <= 1
    assert (eight_bit(values)[0][::2] == 0).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_min_is_white(tmp_path: Path, dtype: str) -> None:
    written = smooth((HEIGHT, WIDTH), dtype)
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", written, photometric="miniswhite")
    assert (shown(tmp_path / "a.tif").astype(int) + shown(tmp_path / "b.tif") == 255).all()
    if dtype == "u1":
        with Image.open(tmp_path / "b.tif") as image:
            assert (np.asarray(image.convert("L")) == shown(tmp_path / "b.tif")).all()


@pytest.mark.parametrize("dtype", ["i1", "i2", "u4", "i4", "f4"])
def test_larger_values_are_never_darker(tmp_path: Path, dtype: str) -> None:
    written = smooth((HEIGHT, WIDTH), dtype)
    tifffile.imwrite(tmp_path / "a.tif", written)
    order = np.argsort(written, axis=None, kind="stable")
    assert (np.diff(shown(tmp_path / "a.tif").ravel()[order].astype(int)) >= 0).all()
    assert np.ptp(shown(tmp_path / "a.tif")) == 255


@pytest.mark.parametrize(
    ("metadata", "channel", "low", "high"),
    [
        ({"axes": "CYX", "min": 100.0, "max": 900.0}, 1, 100, 900),
        ({"axes": "CYX", "Ranges": (0.0, 500.0, 200.0, 700.0)}, 2, 200, 700),
    ],
)
def test_imagej_says_its_range(tmp_path: Path, metadata: Any, channel: int, low: int, high: int) -> None:
    written = np.random.default_rng(0).integers(0, 1000, (2, HEIGHT, WIDTH)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", written, imagej=True, metadata=metadata)
    photo = read_photo(tmp_path / "a.tif", channel=channel)
    expected = np.rint((written[channel - 1].clip(low, high) - low) / (high - low) * 255.0)
    assert (np.asarray(photo.image)[..., 0] == expected).all()
    assert photo.notes[1] == f"values {low} to {high} shown as black to white (the file's own display range)"


def test_eight_bits_in_sixteen_are_as_they_are(tmp_path: Path) -> None:
    written = smooth((HEIGHT, WIDTH), "u1")
    for factor in (256, 257):
        tifffile.imwrite(tmp_path / "a.tif", written.astype(np.uint16) * factor)
        assert (shown(tmp_path / "a.tif") == written).all()


# --- Which picture of how many ------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "imagej": {"imagej": True, "metadata": {"axes": "TZCYX"}},
    "imagej, packed": {"imagej": True, "metadata": {"axes": "TZCYX"}, "compression": "zlib"},
    "ome": {"ome": True, "metadata": {"axes": "TZCYX"}},
    "ome, tiles": {"ome": True, "metadata": {"axes": "TZCYX"}, "tile": (16, 16), "compression": "zlib"},
    "tifffile": {"metadata": {"axes": "TZCYX"}, "photometric": "minisblack"},
}


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("kind", KINDS)
def test_axes_of_stacks(tmp_path: Path, kind: str, dtype: str) -> None:
    """Each plane has a grey of its own, in one half; the other half goes through all values."""
    written = np.zeros((2, 3, 4, 40, 50), dtype=dtype)
    written[..., 25:] = np.arange(24).reshape(2, 3, 4, 1, 1) * 10
    written[..., :25] = np.arange(40)[:, None] * 6
    tifffile.imwrite(tmp_path / "a.tif", written, **KINDS[kind])
    with open_stack(tmp_path / "a.tif") as stack:
        assert stack.axes == {"t": 2, "z": 3, "channel": 4}
        places = list(stack.places())
        assert len(places) == 24
        for place in places:
            photo = stack.read((0.0, 255.0), **place)
            number = (place["t"] - 1) * 12 + (place["z"] - 1) * 4 + place["channel"] - 1
            assert photo.image.getpixel((40, 20)) == (number * 10,) * 3
            assert photo.notes[0] == f"t {place['t']} of 2, z {place['z']} of 3, channel {place['channel']} of 4"


def test_pages_without_a_word(tmp_path: Path) -> None:
    written = np.stack([np.full((40, 50), grey, np.uint8) for grey in (10, 20, 30)])
    tifffile.imwrite(tmp_path / "a.tif", written, metadata=None, photometric="minisblack")
    photo = read_photo(tmp_path / "a.tif", page=3)
    assert photo.image.getpixel((5, 5)) == (30, 30, 30)
    assert photo.notes == ("page 3 of 3",)


@pytest.mark.parametrize(
    ("place", "words"),
    [({"page": 4}, "pages 1 to 3"), ({"page": 0}, "pages 1 to 3"), ({"z": 2}, "one z; it has pages 1 to 3")],
)
def test_places_that_are_not_there(tmp_path: Path, place: dict[str, int], words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 40, 50), np.uint8), metadata=None, photometric="minisblack")
    with pytest.raises(PhotoError, match=words):
        read_photo(tmp_path / "a.tif", display_range=None, **place)


def test_overviews_are_no_pages(tmp_path: Path) -> None:
    large = smooth((128, 160), "u1")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(large, photometric="minisblack", metadata=None)
        for step in (2, 4):
            writer.write(large[::step, ::step], photometric="minisblack", metadata=None, subfiletype=1)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.image.size == (160, 128)
    assert photo.notes == ()


def test_bands_of_a_map(tmp_path: Path) -> None:
    written = smooth((5, HEIGHT, WIDTH), "u2")
    tifffile.imwrite(
        tmp_path / "a.tif",
        written,
        photometric="minisblack",
        planarconfig="separate",
        compression="zlib",
        metadata=None,
    )
    photo = read_photo(tmp_path / "a.tif")
    assert photo.notes[0] == "bands 1, 2 and 3 of 5 shown as red, green and blue"
    seen = np.asarray(photo.image).astype(int)
    for band in range(3):
        order = np.argsort(written[band], axis=None, kind="stable")
        assert (np.diff(seen[..., band].ravel()[order]) >= 0).all()


# --- Strangers' files ---------------------------------------------------------------------------------------------


def test_other_files_that_are_named_inside_are_not_opened(tmp_path: Path) -> None:
    secret = np.full((40, 50), 200, np.uint8)
    tifffile.imwrite(tmp_path / "secret.ome.tif", secret, ome=True)
    description = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="40" SizeC="1" SizeZ="1" SizeT="1"><TiffData IFD="0" '
        'FirstZ="0" PlaneCount="1"><UUID FileName="secret.ome.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    own = np.full((40, 50), 60, np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", own, description=description, metadata=None)
    assert tifffile.imread(tmp_path / "a.ome.tif").max() != 60  # tifffile by itself goes by the name
    assert read_photo(tmp_path / "a.ome.tif").image.getpixel((5, 5)) == (60, 60, 60)


@pytest.mark.parametrize(
    "description",
    [
        '<OME><Image ID="1"><Pixels DimensionOrder="XYCZT" SizeX="50" SizeY="40" SizeC="1" SizeZ="1999999999" SizeT="1">'
        '<TiffData IFD="0" FirstZ="1999999998"/></Pixels></Image></OME>',
        '<OME><Image ID="1"><Pixels DimensionOrder="XYCZT" SizeX="50" SizeY="40" SizeC="9999" SizeZ="9999" SizeT="9999">'
        '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>',
        "ImageJ=1.53\nimages=1999999999\nslices=1999999999\n",
        '{"shape": [1999999999, 40, 50]}',
    ],
)
def test_claims_without_measure_cost_nothing(tmp_path: Path, description: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 50), 60, np.uint8), description=description, metadata=None)
    tracemalloc.start()
    assert read_photo(tmp_path / "a.tif").image.getpixel((5, 5)) == (60, 60, 60)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_a_chain_of_pages_without_end(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 50), 60, np.uint8), metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    end = start + 2 + 12 * count
    data[end : end + 4] = start.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    assert read_photo(tmp_path / "a.tif").image.getpixel((5, 5)) == (60, 60, 60)


def test_what_cannot_be_unpacked_is_not_called_cut_short(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth((HEIGHT, WIDTH, 3), "u1"))
    picture.save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start, count = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[start : start + count] = b"\xaa" * count
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(PhotoError, match="cannot be unpacked"):
        read_photo(tmp_path / "a.tif")
