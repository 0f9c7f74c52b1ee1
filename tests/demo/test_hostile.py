"""What strangers send to the running app: each gets the right pictures back, or a sentence."""

import functools
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import segmodels
from demo.server.messages import BROKEN, WRONG_INPUTS
from demo.server.route_filter import MAX_BODY, MAX_UPLOAD
from segmodels.inference.pictures import overlay
from tools.stress.fuzz_photo import mutated, seed_files
from tools.stress.visitor import UPLOADED, Refused, Visitor

from ..conftest import EXAMPLES
from ..inference.test_photo import BOMBS, as_stored, encoded, heic, png_chunk, wide_gamut_profile

MODEL = "fcn_mobilenetv2"
SMALL = (240, 160)
"""(width, height) of the photos here."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(scope="module")
def visitor(url: str) -> Iterator[Visitor]:
    with Visitor(url) as visitor:
        yield visitor


@pytest.fixture(autouse=True)
def nothing_breaks(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The app foresaw it: nothing was written to its log."""
    yield
    assert "Traceback" not in capsys.readouterr().err


# --- Odd photos that are read ---------------------------------------------------------------------------------------


@functools.cache
def scene() -> Image.Image:
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize(SMALL)


def turned(orientation: int) -> bytes:
    """The scene as a camera stores it, held so that EXIF says ``orientation``."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(as_stored(np.asarray(scene()), orientation)), "JPEG", quality=95, exif=exif)


def with_alpha(mode: str) -> Image.Image:
    """The scene, its right third clear and hiding red."""
    picture = scene().copy()
    picture.paste((255, 0, 0), (160, 0, *SMALL))
    alpha = Image.new("L", SMALL, 255)
    alpha.paste(0, (160, 0, *SMALL))
    picture = picture.convert(mode)
    picture.putalpha(alpha)
    return picture


def on_white(picture: Image.Image) -> Image.Image:
    seen = picture.convert("RGB").copy()
    seen.paste((255, 255, 255), (160, 0, *SMALL))
    return seen


def clear_palette() -> tuple[bytes, Image.Image]:
    """64 colours, one of them clear, and what is to be seen."""
    picture = with_alpha("RGB").convert("RGB").quantize(63)
    picture.putpalette([*(picture.getpalette() or [])[: 3 * 63], 255, 0, 0])
    picture.paste(63, (160, 0, *SMALL))
    seen = picture.convert("RGB")
    seen.paste((255, 255, 255), (160, 0, *SMALL))
    return encoded(picture, "PNG", transparency=63), seen


def deep_grey() -> bytes:
    return encoded(Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) * 256 + 77), "PNG")


def animation(kind: str, **options: Any) -> bytes:
    later = [Image.new("RGB", SMALL, colour) for colour in ("red", "blue")]
    return encoded(scene(), kind, save_all=True, append_images=later, duration=100, **options)


def quantized() -> Image.Image:
    return scene().quantize(256)


def grey() -> Image.Image:
    return scene().convert("L").convert("RGB")


def stretched() -> Image.Image:
    """The grey scene from its 0.2th to its 99.8th percentile."""
    values = np.asarray(scene().convert("L")).astype(np.float64)
    low, high = np.percentile(values, (0.2, 99.8))
    return Image.fromarray(np.rint((values.clip(low, high) - low) / (high - low) * 255).astype(np.uint8)).convert("RGB")


@dataclass(frozen=True)
class Odd:
    """A file, the picture that a person sees in it, how far colours may be off, and what is said about it."""

    data: Callable[[], bytes]
    seen: Callable[[], Image.Image] = scene
    within: float = 4
    note: str | None = None
    name: str = "photo.jpg"


ODD: dict[str, Odd] = {
    "jpeg": Odd(lambda: encoded(scene(), "JPEG", quality=95)),
    "jpeg, progressive": Odd(lambda: encoded(scene(), "JPEG", quality=95, progressive=True)),
    "png": Odd(lambda: encoded(scene(), "PNG"), within=0),
    "png called .txt": Odd(lambda: encoded(scene(), "PNG"), within=0, name="notes.txt"),
    "jpeg called .png": Odd(lambda: encoded(scene(), "JPEG", quality=95), name="photo.png"),
    "name with a path": Odd(lambda: encoded(scene(), "PNG"), within=0, name="../../../../etc/cron.d/photo.png"),
    "name of other scripts": Odd(lambda: encoded(scene(), "PNG"), within=0, name="Кот 🐈 & <b>кот</b>.png"),
    "name without end": Odd(lambda: encoded(scene(), "PNG"), within=0, name="x" * 400 + ".png"),
    "no name": Odd(lambda: encoded(scene(), "PNG"), within=0, name=".png"),
    **{f"exif orientation {turn}": Odd(functools.partial(turned, turn)) for turn in range(1, 9)},
    "broken exif": Odd(lambda: encoded(scene(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "exif without end": Odd(lambda: encoded(scene(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*" + bytes(60_000))),
    "cmyk jpeg": Odd(lambda: encoded(scene().convert("CMYK"), "JPEG", quality=95), note="colours converted from CMYK"),
    "cmyk tiff": Odd(lambda: encoded(scene().convert("CMYK"), "TIFF"), within=1, note="colours converted from CMYK"),
    "1 bit": Odd(lambda: encoded(scene().convert("1"), "PNG"), lambda: scene().convert("1").convert("RGB"), 0),
    "grey jpeg": Odd(lambda: encoded(scene().convert("L"), "JPEG", quality=95), grey),
    "grey": Odd(lambda: encoded(scene().convert("L"), "PNG"), grey, 0),
    "grey and alpha": Odd(
        lambda: encoded(with_alpha("L"), "PNG"), lambda: on_white(grey()), 0, "transparent areas shown on white"
    ),
    "16-bit grey": Odd(deep_grey, stretched, 1, "shown as black to white"),
    "32-bit float": Odd(
        lambda: encoded(scene().convert("F"), "TIFF"), stretched, 1, "shown as black to white", "photo.tif"
    ),
    "palette": Odd(lambda: encoded(quantized(), "PNG"), lambda: quantized().convert("RGB"), 0),
    "palette with a clear colour": Odd(
        lambda: clear_palette()[0], lambda: clear_palette()[1], 0, "transparent areas shown on white"
    ),
    "rgba with hidden colours": Odd(
        lambda: encoded(with_alpha("RGB"), "PNG"), lambda: on_white(scene()), 0, "transparent areas shown on white"
    ),
    "webp": Odd(lambda: encoded(scene(), "WEBP", quality=95), name="photo.webp"),
    "webp with hidden colours": Odd(
        lambda: encoded(with_alpha("RGB"), "WEBP", lossless=True, exact=True),
        lambda: on_white(scene()),
        0,
        "transparent areas shown on white",
    ),
    "animated gif": Odd(
        lambda: encoded(
            quantized(), "GIF", save_all=True, append_images=[Image.new("RGB", SMALL, "red")], duration=100
        ),
        lambda: quantized().convert("RGB"),
        2,
        "first frame of an animation",
        "photo.gif",
    ),
    "animated webp": Odd(lambda: animation("WEBP", lossless=True), within=0, note="first frame of an animation"),
    "animated png": Odd(lambda: animation("PNG"), within=0, note="first frame of an animation"),
    "tiff": Odd(lambda: encoded(scene(), "TIFF"), within=0, name="photo.tif"),
    "tiff of several pages": Odd(
        lambda: encoded(scene(), "TIFF", save_all=True, append_images=[Image.new("RGB", SMALL)]),
        within=0,
        note="page 1 of 2",
    ),
    "bmp": Odd(lambda: encoded(scene(), "BMP"), within=0),
    "heic": Odd(lambda: heic(scene()), name="img_0001.heic"),
    "avif": Odd(lambda: encoded(scene(), "AVIF", quality=95), name="photo.avif"),
    "wide gamut": Odd(
        lambda: encoded(wide_gamut(), "PNG", icc_profile=wide_gamut_profile()),
        within=2,
        note="colours converted from Display P3",
    ),
    "broken profile": Odd(lambda: encoded(scene(), "PNG", icc_profile=b"no profile at all"), within=0),
    "smallest": Odd(lambda: encoded(scene().resize((32, 32)), "PNG"), lambda: scene().resize((32, 32)), 0),
    "long and thin": Odd(lambda: encoded(thin(), "PNG"), lambda: thin(), 0),
    "high and thin": Odd(
        lambda: encoded(thin().transpose(Image.Transpose.ROTATE_90), "PNG"),
        lambda: thin().transpose(Image.Transpose.ROTATE_90),
        0,
    ),
}


def thin() -> Image.Image:
    return scene().resize((5000, 32))


def wide_gamut() -> Image.Image:
    """The scene in Display P3's numbers, by the published matrices and the profile's gamma of 2.2."""
    to_linear = np.asarray(scene()) / 255.0
    linear = np.where(to_linear <= 0.04045, to_linear / 12.92, ((to_linear + 0.055) / 1.055) ** 2.4)
    p3 = (
        linear
        @ np.array([[0.8224620, 0.1775380, 0.0], [0.0331942, 0.9668058, 0.0], [0.0170806, 0.0723974, 0.9105220]]).T
    )
    return Image.fromarray(np.rint(255 * np.clip(p3, 0, 1) ** (1 / 2.2)).astype(np.uint8))


@functools.cache
def network() -> segmodels.Segmenter:
    return segmodels.load(MODEL)


JPEG = 5
"""Of 255: how far the overlay, which is sent as JPEG, may be from what was drawn, in the mean over a photo full of noise."""


@pytest.mark.parametrize("name", ODD)
def test_an_odd_photo_is_segmented_as_what_it_shows(visitor: Visitor, name: str) -> None:
    odd = ODD[name]
    seen = odd.seen()
    labels, drawn, report = visitor.segment(visitor.upload(odd.data(), odd.name))
    expected = network()(seen).labels
    assert labels.size == drawn.size == seen.size
    found = np.asarray(labels)
    assert (found == expected).mean() > (0.96 if odd.within else 0.999)
    off = np.abs(np.asarray(drawn).astype(int) - np.asarray(overlay(seen, found)).astype(int))
    assert off.mean() <= odd.within + JPEG
    assert len(report["notes"]) == (odd.note is not None)
    assert all(odd.note is not None and odd.note in note for note in report["notes"])


def test_the_scene_tells_its_turns_apart() -> None:
    """Else the table above would prove little."""
    labels = network()(scene()).labels
    for other in (labels[:, ::-1], labels[::-1], labels[::-1, ::-1]):
        assert (labels == other).mean() < 0.95


def test_forty_megapixels(visitor: Visitor) -> None:
    """The largest photo that is taken, every pixel of it."""
    data = encoded(scene().resize((8000, 5000)), "JPEG", quality=50)
    labels, drawn, _ = visitor.segment(visitor.upload(data))
    assert labels.size == drawn.size == (8000, 5000)
    small = np.asarray(labels.resize(SMALL, Image.Resampling.NEAREST))
    assert (small == network()(scene()).labels).mean() > 0.97


# --- Files that are refused -----------------------------------------------------------------------------------------


def cut(kind: str, part: float = 0.6, **options: Any) -> bytes:
    data = encoded(scene(), kind, **options)
    return data[: int(len(data) * part)]


def flat(size: tuple[int, int]) -> bytes:
    return encoded(Image.new("RGB", size, "teal"), "PNG")


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "zero bytes": (lambda: b"", "empty"),
    "one byte": (lambda: b"\xff", "not a photo"),
    "text": (lambda: b"not a picture at all", "text"),
    "zeros": (lambda: bytes(100_000), "not a photo"),
    "cut jpeg": (lambda: cut("JPEG"), "cut short"),
    "cut png": (lambda: cut("PNG"), "cut short"),
    "cut webp": (lambda: cut("WEBP"), "cut short|cannot be decoded"),
    "cut gif": (lambda: cut("GIF"), "cut short|cannot be decoded"),
    "cut tiff": (lambda: cut("TIFF"), "cut short|cannot be decoded"),
    "cut avif": (lambda: cut("AVIF"), "cut short|cannot be decoded"),
    "cut heic": (lambda: heic(scene())[:2000], "cut short|cannot be decoded"),
    "garbage behind a signature": (
        lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
        "cannot be decoded|cut short",
    ),
    **{f"bomb, {name}": (functools.partial(build, size), "40 megapixels") for name, (build, size) in BOMBS.items()},
    "png bomb of text": (
        lambda: flat(SMALL)[:33] + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26))) + flat(SMALL)[33:],
        "PNG",
    ),
    "1 x 1": (lambda: flat((1, 1)), "1 x 1 .* 32 x 32"),
    "1 x 5000": (lambda: flat((1, 5000)), "1 x 5000 .* 32 x 32"),
    "5000 x 1": (lambda: flat((5000, 1)), "5000 x 1 .* 32 x 32"),
    "31 x 31": (lambda: flat((31, 31)), "31 x 31 .* 32 x 32"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG"),
    "svg that includes a file": (
        lambda: b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        "SVG",
    ),
    "web page": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", "web page"),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file", "PostScript"),
    "archive": (lambda: b"PK\x03\x04" + bytes(300), "archive"),
    "pickle": (lambda: b"\x80\x04\x95cposix\nsystem\n", "not a photo"),
    "video": (lambda: b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(100), "video"),
}


def assert_is_a_sentence(said: str) -> None:
    """One plain line that ends in a full stop, without paths, markup or the word of a programmer."""
    assert said[0].isupper()
    assert said.endswith((".", "?"))
    assert "\n" not in said
    assert len(said) < 500
    for word in ("/tmp", "/home", "Traceback", "Error(", "object at", "gradio", "<"):
        assert word not in said


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_photo_is_refused_in_a_sentence(visitor: Visitor, name: str) -> None:
    build, words = REFUSED[name]
    photo = visitor.upload(build(), "photo.jpg")
    with pytest.raises(Refused, match=words) as caught:
        visitor.segment(photo)
    assert_is_a_sentence(str(caught.value))


@pytest.mark.parametrize("name", ["bomb, png", "bomb, tiff"])
def test_no_part_of_the_app_decodes_a_bomb(
    visitor: Visitor, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ours nor gradio's, in any event that takes a photo."""
    decoded: list[Any] = []
    monkeypatch.setattr(Image, "_getdecoder", lambda *args: decoded.append(args))
    photo = visitor.upload(REFUSED[name][0](), "bomb.png")
    for event, inputs in events_with_photos(visitor):
        said = visitor.refusal(event, [photo if value is PHOTO else value for value in inputs])
        if said is not None:
            assert_is_a_sentence(said)
            assert said != BROKEN
    assert decoded == []


# --- Requests that no page sends ------------------------------------------------------------------------------------

PHOTO = object()


def events_with_photos(visitor: Visitor) -> Iterator[tuple[int, list[Any]]]:
    """The (number, inputs) of every event, private ones too, that takes a photo; PHOTO stands for it."""
    config = visitor.config()
    components = {one["id"]: one for one in config["components"]}
    for event in config["dependencies"]:
        inputs = [components[key] for key in event["inputs"]]
        if event["backend_fn"] and any(one["type"] == "image" for one in inputs):
            yield event["id"], [PHOTO if one["type"] == "image" else one["props"].get("value") for one in inputs]


JUNK: tuple[Any, ...] = (None, "x" * 5000, -1, 1e308, [], {"a": {}}, ["\0"], "<img src=x onerror=x>")


@pytest.mark.parametrize("junk", JUNK, ids=[str(value)[:12] or "empty" for value in JUNK])
def test_every_event_answers_junk(visitor: Visitor, junk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Private events too, each input in turn; whatever breaks, a visitor reads a sentence."""
    photo = visitor.upload(encoded(scene(), "PNG"))
    for event in visitor.config()["dependencies"]:
        if event["backend_fn"]:
            inputs: list[Any] = [photo if index == 0 else junk for index in range(len(event["inputs"]))]
            for data in (inputs, [junk] * len(inputs)):
                said = visitor.refusal(event["id"], data)
                if said is not None:
                    assert_is_a_sentence(said)
    capsys.readouterr()  # events that break on junk say so in the log


@pytest.mark.parametrize("junk", JUNK, ids=[str(value)[:12] or "empty" for value in JUNK])
def test_every_place_of_the_page_answers_junk(visitor: Visitor, junk: Any) -> None:
    """The Lab's sections, the lessons, Anatomy and the brush: all values junk, and junk beside a photo."""
    photo = visitor.upload(encoded(scene(), "PNG"))
    places = [one["id"] for one in visitor.config()["components"] if "ask" in one["props"].get("server_fns", ())]
    assert len(places) > 15
    for place in places:
        for count in (0, 1, 2, 4, 7):
            for values in ([junk] * count, [{"path": photo["path"]}, *[junk] * (count - 1)][:count]):
                answer = visitor.serve("ask", {"values": values, "step": 0, "ticket": "1"}, place)
                if answer and "problem" in answer:
                    assert_is_a_sentence(answer["problem"].replace(str(junk), ""))  # it may quote, and is shown as text
                    assert answer["problem"] != BROKEN


@pytest.mark.parametrize("count", [0, 1, 3, 5, 50])
def test_wrong_number_of_arguments(visitor: Visitor, count: int) -> None:
    with pytest.raises(Refused) as caught:
        visitor.ask(visitor.event("segment"), [None] * count)
    if count < 5:
        assert str(caught.value) == WRONG_INPUTS
    assert_is_a_sentence(str(caught.value))


@pytest.mark.parametrize("event", [-1, 10_000])
def test_no_such_event(visitor: Visitor, event: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="no such event"):
        visitor.ask(event, [])
    capsys.readouterr()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": "NaN"}, "whole number"),
        ({"rate": -6}, "whole number"),
        ({"rate": "six"}, "whole number"),
        ({"rate": 10**400}, "whole number"),
        ({"rate": {"a": 1}}, "whole number"),
        ({"stride": 7}, "8, 16 or 32"),
        ({"stride": [16]}, "8, 16 or 32"),
        ({"stride": {"value": 8}}, "8, 16 or 32"),
        ({"model": "nonesuch"}, "did you mean"),
        ({"model": "../../etc/passwd"}, "did you mean"),
        ({"model": "/etc/passwd\0.safetensors"}, "did you mean"),
        ({"model": "fcn_mobilenetv2.safetensors"}, "did you mean fcn_mobilenetv2"),
        ({"model": "<script>alert(1)</script>"}, "&lt;script&gt;"),
        ({"model": ["fcn_mobilenetv2"]}, "did you mean"),
        ({"model": None}, "did you mean"),
        ({"model": "unet"}, "no trained weights"),
    ],
    ids=str,
)
def test_wrong_settings(visitor: Visitor, settings: dict[str, Any], words: str) -> None:
    photo = visitor.upload(encoded(scene(), "PNG"))
    with pytest.raises(Refused, match=words):
        visitor.segment(photo, **{"model": "deeplabv3_mobilenetv2"} | settings)


def test_a_rate_that_json_cannot_say(visitor: Visitor) -> None:
    """Python's own encoder writes NaN, which is no JSON."""
    body = {
        "fn_index": visitor.event("segment"),
        "session_hash": "nan",
        "data": [None, MODEL, float("nan"), None, None],
    }
    answer = visitor.http.post(
        "/gradio_api/queue/join", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    if answer.status_code == 200:  # taken for null
        body["data"] = [None, MODEL, None, None, None]
    else:
        assert answer.status_code in (400, 422)


BODIES = [
    *(b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe\0"),
    b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
]
FORMS = [
    b"junk",
    b'--X\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--X--\r\n',
    b'--X\r\nContent-Disposition: form-data; name="files"; filename=".."\r\n\r\nabc\r\n--X--\r\n',
]


@pytest.mark.parametrize(
    ("route", "kind", "content"),
    [
        *(("queue/join", "application/json", body) for body in BODIES),
        *(("upload", "multipart/form-data; boundary=X", form) for form in FORMS),
    ],
    ids=range(len(BODIES) + len(FORMS)),
)
def test_bodies_that_are_no_request(
    visitor: Visitor, route: str, kind: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = visitor.http.post(f"/gradio_api/{route}", content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500
    assert "Traceback" not in answer.text
    capsys.readouterr()


# --- Too much -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("megabytes", [65, pytest.param(200, marks=pytest.mark.slow)])
def test_an_upload_that_is_too_large(visitor: Visitor, megabytes: int) -> None:
    with pytest.raises(Refused, match="64 MB"):
        visitor.upload(bytes(megabytes * 2**20))


def test_many_files_in_one_upload(visitor: Visitor) -> None:
    """Each may be small."""
    files = [("files", (f"{index}.jpg", bytes(8 * 2**20))) for index in range(9)]
    answer = visitor.http.post("/gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "64 MB" in answer.text


def test_an_upload_that_does_not_say_how_large_it_is(visitor: Visitor) -> None:
    def parts() -> Iterator[bytes]:
        yield b'--X\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        for _ in range(80):
            yield bytes(2**20)

    answer = visitor.http.post(
        "/gradio_api/upload", content=parts(), headers={"content-type": "multipart/form-data; boundary=X"}
    )
    assert answer.status_code == 413


def test_a_request_that_is_too_large(visitor: Visitor) -> None:
    with pytest.raises(Refused, match=f"{MAX_BODY // 2**20} MB"):
        visitor.ask(visitor.event("segment"), [None, "x" * MAX_BODY, None, None, None])


def test_the_largest_upload_is_taken(visitor: Visitor) -> None:
    photo = visitor.upload(bytes(MAX_UPLOAD))
    with pytest.raises(Refused, match="not a photo"):
        visitor.segment(photo)


# --- Mutated --------------------------------------------------------------------------------------------------------


def test_mutated_photos_with_settings_of_all_kinds(visitor: Visitor) -> None:
    """Half of the photos are broken in their pixels, half of the settings are junk. tools/stress/fuzz_photo.py does thousands."""
    seeds, rng = seed_files(), np.random.default_rng(0)
    event, outcomes = visitor.event("segment"), []
    for number in range(40):
        photo = visitor.upload(mutated(seeds, 2, number) if number % 2 else seeds[number % len(seeds)], "photo")
        settings = [JUNK[rng.integers(len(JUNK))] if rng.random() < 0.2 else good for good in (MODEL, None, None, None)]
        said = visitor.refusal(event, [photo, *settings])
        outcomes.append(said is None)
        if said is not None:
            assert_is_a_sentence(said)
            assert said != BROKEN
    assert {True, False} <= set(outcomes)


# --- The same through gradio's own client, and after all that -------------------------------------------------------


def test_what_programs_are_told(url: str, tmp_path: Any) -> None:
    client = Client(url, verbose=False)
    (tmp_path / "photo.jpg").write_bytes(b"text")
    with pytest.raises(AppError, match="text, not a photo"):
        client.predict(image=handle_file(tmp_path / "photo.jpg"), api_name="/segment")
    with pytest.raises(AppError, match="no photo"):
        client.predict(image=None, api_name="/segment")
    with pytest.raises(AppError, match="fetch addresses"):
        client.predict(image={"path": url + "config", "meta": UPLOADED}, api_name="/segment")


def test_the_app_still_answers(visitor: Visitor) -> None:
    labels, _, report = visitor.segment_file(EXAMPLES / "cat.jpg")
    assert report["classes"]["cat"] > 0.2
    assert labels.size == (451, 300)
    assert httpx.get(str(visitor.http.base_url)).status_code == 200
