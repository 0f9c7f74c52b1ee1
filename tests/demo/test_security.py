"""What a visitor must not be able to do, tried on the running app."""

import contextvars
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

import segmodels
from demo import LONGEST_QUEUE, ROOT, build, launch_options
from demo.components import photo_overlay
from demo.server import cache, timeouts, uploads
from demo.server.messages import GONE, NOT_AN_UPLOAD, error_message
from segmodels.kernels import malloc
from tools.stress.visitor import UPLOADED, Refused, Visitor

from ..conftest import EXAMPLES

CAT = EXAMPLES / "cat.jpg"
MODEL = "fcn_mobilenetv2"


@pytest.fixture
def visitor(url: str) -> Iterator[Visitor]:
    with Visitor(url) as visitor:
        yield visitor


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A photo on the server that nobody uploaded."""
    file = tmp_path / "secret.png"
    Image.open(CAT).save(file)
    return file


# --- Files ----------------------------------------------------------------------------------------------------------


def forbidden(folder: Path, secret: Path) -> list[str]:
    """Ways to name a file that is none of the uploads."""
    link = folder / "link.png"
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    linked = folder / "linked"
    linked.unlink(missing_ok=True)
    linked.symlink_to(secret.parent)
    up = "../" * len(folder.parts)
    return [
        str(secret),
        "/etc/passwd",
        "/proc/self/environ",
        str(CAT),
        "assets/examples/cat.jpg",
        "app.py",
        f"{folder}/..{os.sep}{secret.name}",
        f"{folder}/{up}{str(secret).lstrip('/')}",
        f"{folder}/{up}etc/passwd",
        str(link),
        str(linked / secret.name),
        f"file://{secret}",
        f"~/../..{secret}",
        str(folder),
        "",
        ".",
        "..",
    ]


def events_with_a_photo(visitor: Visitor) -> Iterator[tuple[int, list[Any], int]]:
    """The (number, inputs, position of the photo) of every event that takes one, private ones too."""
    config = visitor.config()
    components = {one["id"]: one for one in config["components"]}
    for event in config["dependencies"]:
        inputs = [components[key] for key in event["inputs"]]
        if event["backend_fn"]:
            for position, one in enumerate(inputs):
                if one["type"] == "image":
                    yield event["id"], [part["props"].get("value") for part in inputs], position


@pytest.mark.parametrize("meta", [True, False], ids=["called a file", "called nothing"])
def test_no_event_reads_a_file_that_was_not_uploaded(visitor: Visitor, secret: Path, meta: bool) -> None:
    events = list(events_with_a_photo(visitor))
    assert len(events) >= 8
    for path in forbidden(Path(get_upload_folder()), secret):
        photo = {"path": path, "orig_name": "photo.png"} | ({"meta": UPLOADED} if meta else {})
        for event, inputs, position in events:
            inputs[position] = photo
            with pytest.raises(Refused) as caught:
                visitor.ask(event, inputs)
            assert str(caught.value) == (GONE if path == get_upload_folder() else NOT_AN_UPLOAD)


def test_the_file_route_serves_uploads_only(visitor: Visitor, secret: Path) -> None:
    for path in [*forbidden(Path(get_upload_folder()), secret), str(ROOT / ".git/HEAD"), "assets/weights"]:
        for form in (path, path.replace("/", "%2f"), path.replace(".", "%2e"), f"/{path}"):
            answer = visitor.http.get(f"/gradio_api/file={form}")
            assert answer.status_code in (403, 404, 422), form
            assert b"PNG" not in answer.content
            assert b"root:" not in answer.content


def test_other_routes_serve_no_files(visitor: Visitor) -> None:
    for route in ("static/", "assets/", "svelte/", "gradio_api/file/", "gradio_api/custom_component/1/a/b/"):
        for path in ("../../../../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"):
            answer = visitor.http.get(f"/{route}{path}")
            assert b"root:" not in answer.content
            assert answer.status_code >= 400


@pytest.mark.parametrize("name", ["../../../evil.png", "/etc/evil.png", "a/b/../../evil.png", "..\\..\\evil.png"])
def test_an_uploads_name_cannot_leave_the_folder(visitor: Visitor, name: str) -> None:
    path = Path(visitor.upload(CAT.read_bytes(), name)["path"])
    assert path.resolve().is_relative_to(Path(get_upload_folder()).resolve())
    assert path.read_bytes() == CAT.read_bytes()


def test_another_visitors_files_are_named_by_what_is_in_them(visitor: Visitor, url: str) -> None:
    """Nobody is told their names, and no folder is listed: to ask for a photo, one has to have it."""
    mine = Path(visitor.upload(CAT.read_bytes() + b"mine", "private.jpg")["path"])
    assert re.fullmatch(r"[0-9a-f]{64}", mine.parent.name)
    with Visitor(url) as other:
        for folder in (mine.parent, mine.parent.parent):
            assert other.http.get(f"/gradio_api/file={folder}").status_code in (403, 404)
            assert other.http.get(f"/gradio_api/file={folder}/").status_code in (403, 404)
        for route in ("config", "gradio_api/info", "gradio_api/queue/status", "", "gradio_api/startup-events"):
            said = other.http.get(f"/{route}").text
            assert mine.parent.name not in said
            assert visitor.session not in said


def test_what_could_run_in_a_browser_is_downloaded_instead(visitor: Visitor) -> None:
    for name in ("page.html", "drawing.svg", "script.js", "page.xhtml"):
        photo = visitor.upload(b"<script>alert(1)</script>", name)
        answer = visitor.http.get(f"/gradio_api/file={photo['path']}")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] == "application/octet-stream"


def test_other_sites_cannot_read_what_a_visitor_sees(visitor: Visitor) -> None:
    answer = visitor.http.get("/config", headers={"origin": "https://evil.example"})
    assert answer.headers.get("access-control-allow-origin") not in ("*", "https://evil.example")


# --- Addresses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bait() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that notes who asks for what."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CAT.read_bytes())

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_no_address_is_fetched(visitor: Visitor, bait: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """In any input of any event, whatever it is called; neither on this machine nor anywhere else."""
    host, asked = bait
    port = host.partition(":")[2]

    async def fetch(address: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(address)
        raise OSError(address)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_get", fetch)
    hosts = [host, f"localhost:{port}", f"[::1]:{port}", f"2130706433:{port}", "huggingface.co", "169.254.169.254"]
    for address in [f"http://{name}/cat.jpg" for name in hosts] + [
        "https://example.com/cat.jpg",
        "ftp://example.com/a",
    ]:
        disguises: list[Any] = [
            {"path": address, "meta": UPLOADED},
            {"path": address},
            {"path": None, "url": address, "meta": UPLOADED},
            {"url": address},
            {"path": address, "url": address, "is_stream": True, "meta": UPLOADED},
            [{"deep": {"path": address, "meta": UPLOADED}}],
        ]
        for photo in disguises:
            for inputs in (
                [photo, MODEL, None, None, None],
                [None, MODEL, photo, None, None],
                [None, photo, None, None, None],
            ):
                with pytest.raises(Refused):
                    visitor.ask(visitor.event("segment"), inputs)
        for route in (f"file={address}", f"file/{address}", f"proxy={address}", f"file={address.upper()}"):
            assert visitor.http.get(f"/gradio_api/{route}").status_code >= 400
    assert asked == []


RECORD = """
import json, os, socket, sys
asked = []

def watched(real, address_of):
    def call(*args, **kwargs):
        address = address_of(args)
        host = address[0] if isinstance(address, tuple) else address
        if isinstance(host, str) and host not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", ""):
            asked.append(host)
        return real(*args, **kwargs)
    return call

socket.socket.connect = watched(socket.socket.connect, lambda args: args[1])
socket.socket.connect_ex = watched(socket.socket.connect_ex, lambda args: args[1])
socket.getaddrinfo = watched(socket.getaddrinfo, lambda args: args[0])

from demo import build, launch_options
from tools.stress.visitor import Visitor
from pathlib import Path

page = build()
_, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
with Visitor(url) as visitor:
    labels, _, report = visitor.segment_file(Path(sys.argv[1]))
    visitor.http.get("/")
page.close()
print(json.dumps({"asked": asked, "classes": report["classes"]}))
sys.stdout.flush()
os._exit(0)
"""


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    """From the first import to the last byte of a result; no analytics, fonts or version checks."""
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    environment.pop("GRADIO_ANALYTICS_ENABLED", None)  # it has to be off by the app's own doing
    command = [sys.executable, "-c", RECORD, str(CAT)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["classes"]["cat"] > 0.2
    assert said["asked"] == []


# --- Settings, on purpose -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    [
        "monitoring",
        "monitoring/summary",
        "gradio_api/runs",
        "gradio_api/run-history/records",
        "gradio_api/vibe-code",
        "docs",
        "gradio_api/profiling/traces",
    ],
)
def test_what_is_switched_off(visitor: Visitor, route: str) -> None:
    assert visitor.http.get(f"/{route}").status_code in (403, 404)


def test_the_queue_cannot_be_passed_by(visitor: Visitor) -> None:
    for route in ("run/segment", "api/segment"):
        answer = visitor.http.post(f"/gradio_api/{route}", json={"data": [None, MODEL, None, None, None]})
        assert answer.status_code == 404


def test_videos_are_not_converted(visitor: Visitor) -> None:
    answer = visitor.http.post("/gradio_api/process_recording", files={"file": ("a.webm", b"x")})
    assert answer.status_code == 404


def test_weights_never_hold_code() -> None:
    """Every torch file is read as tensors alone."""
    for file in [*ROOT.glob("segmodels/*.py"), *ROOT.glob("demo/**/*.py"), *ROOT.glob("tools/*.py")]:
        source = file.read_text(encoding="utf-8")
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\([^\n]*", source)), file
        assert "import pickle" not in source or "pickle.load" not in source


def test_errors_name_no_place_on_the_server() -> None:
    assert error_message(OSError(28, "No space left on device", "/home/someone/x")) == (
        "The server cannot do this now (no space left on device): try again later."
    )
    assert error_message(ValueError("no such thing")) == "No such thing."


# --- Files are deleted ----------------------------------------------------------------------------------------------


def test_old_files_are_swept_away_and_the_pages_own_are_kept(tmp_path: Path) -> None:
    example, upload, broken = tmp_path / "a" / "cat.jpg", tmp_path / "b" / "photo.jpg", tmp_path / "tmp123"
    for file in (example, upload, broken):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    kept = frozenset(example.parent.rglob("*")) | {example.parent}
    uploads.sweep(tmp_path, kept, seconds=3600)
    assert all(file.exists() for file in (example, upload, broken))
    time.sleep(0.02)
    uploads.sweep(tmp_path, kept, seconds=0)
    assert sorted(tmp_path.rglob("*")) == [example.parent, example]


def test_a_photo_that_is_shown_to_another_visitor_is_not_swept_away_as_the_firsts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    display = cache.Display(Image.new("RGB", (64, 64)), (64, 64), (), True)
    file = photo_overlay.shown_file("photo.jpg", display)
    time.sleep(0.05)
    between = time.time()
    time.sleep(0.05)
    assert photo_overlay.shown_file("photo.jpg", display) == file
    uploads.sweep(tmp_path, frozenset(), seconds=time.time() - between)
    assert Path(file).is_file()
    uploads.sweep(tmp_path, frozenset(), seconds=0)
    assert not Path(file).is_file()
    assert photo_overlay.shown_file("photo.jpg", display) == file
    assert Path(file).is_file()


def test_a_sweep_does_not_follow_links(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    time.sleep(0.02)
    uploads.sweep(folder, frozenset(), seconds=0)
    assert list(folder.iterdir()) == []
    assert secret.exists()


def test_what_a_killed_process_left_is_deleted_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    dead, living, other = (
        tmp_path / name for name in ("segmodels-uploads-1", "segmodels-uploads-2", "of-somebody-else")
    )
    for folder in (dead, living, other):
        folder.mkdir()
        (folder / "photo.jpg").write_bytes(b"x")
    for folder in (dead, other):
        os.utime(folder, (0, 0))
    own = uploads.use_own_folder()
    assert sorted(tmp_path.iterdir()) == sorted([living, other, own])
    assert get_upload_folder() == str(own)


def test_a_photo_that_was_deleted_is_missed_in_a_sentence(visitor: Visitor) -> None:
    photo = visitor.upload(CAT.read_bytes() + b"to be deleted")
    Path(photo["path"]).unlink()
    with pytest.raises(Refused) as caught:
        visitor.segment(photo)
    assert str(caught.value) == GONE


# --- Time, and who leaves -------------------------------------------------------------------------------------------


class Gate:
    """In place of ``read_photo``: lets nobody through until it is opened, and notes who came."""

    def __init__(self, through: Callable[..., Any]) -> None:
        self.through = through
        self.open = threading.Event()
        self.came: list[str] = []

    def __call__(self, path: str, **settings: Any) -> Any:
        self.came.append(path)
        assert self.open.wait(60)
        return self.through(path, **settings)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(segmodels.read_photo)
    monkeypatch.setattr(cache, "read_photo", gate)
    yield gate
    gate.open.set()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def photo_of_own(visitor: Visitor, mark: str) -> dict[str, Any]:
    return visitor.upload(CAT.read_bytes() + mark.encode())


def test_a_request_over_its_time_is_stopped_with_a_sentence(
    visitor: Visitor, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "REQUEST_SECONDS", 0.2)
    threading.Timer(0.4, gate.open.set).start()
    with pytest.raises(Refused, match=r"longer than 0\.2 seconds, so it was stopped"):
        visitor.segment(photo_of_own(visitor, "slow"), MODEL)
    monkeypatch.undo()
    assert visitor.segment(photo_of_own(visitor, "slow"), MODEL)[2]["classes"]["cat"] > 0.2


def test_waiting_in_the_queue_is_not_counted(url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "REQUEST_SECONDS", 1e-3)

    def requests() -> None:
        timeouts.start(lambda: True, time.monotonic())
        time.sleep(2e-3)
        with pytest.raises(timeouts.Stopped):
            timeouts.check()
        timeouts.check(60)
        timeouts.start(lambda: False, time.monotonic())
        with pytest.raises(timeouts.Stopped, match="Nobody"):
            timeouts.check(60)

    contextvars.copy_context().run(requests)  # or all later tests of this thread would be limited


class Leaver:
    """A visitor who asks, listens, and closes the page."""

    def __init__(self, url: str, mark: str) -> None:
        self.visitor = Visitor(url)
        self.photo = photo_of_own(self.visitor, mark)
        self.visitor.join(self.visitor.event("segment"), [self.photo, MODEL, None, None, None])
        request = self.visitor.http.build_request(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.visitor.session}
        )
        self.stream = self.visitor.http.send(request, stream=True)

    def leave(self) -> None:
        self.stream.close()
        self.visitor.http.close()


def waiting(url: str) -> int:
    size: int = httpx.get(f"{url}gradio_api/queue/status").json()["queue_size"]
    return size


def test_a_visitor_who_leaves_frees_the_place(
    url: str, visitor: Visitor, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the queue at once; in a run, when the step that is being made is done."""
    encoded: list[str] = []
    encode = segmodels.Segmenter.encode

    def watched(self: segmodels.Segmenter, *args: Any) -> Any:
        encoded.append("one")
        return encode(self, *args)

    monkeypatch.setattr(segmodels.Segmenter, "encode", watched)
    leavers = [Leaver(url, f"leaver {index}") for index in range(5)]
    until(lambda: len(gate.came) == 2)
    until(lambda: waiting(url) == 3)
    for leaver in leavers:
        leaver.leave()
    until(lambda: waiting(url) == 0)
    gate.open.set()
    assert visitor.segment(photo_of_own(visitor, "stayer"), MODEL)[2]["classes"]["cat"] > 0.2
    assert encoded == ["one"]  # the stayer's


def test_whoever_cancels_keeps_the_place_until_the_work_is_done(url: str, visitor: Visitor, gate: Gate) -> None:
    """Else a visitor who asks and cancels in turn would have any number of threads at work."""
    event = visitor.event("segment")
    for number in (1, 2):
        body = {"fn_index": event, "session_hash": visitor.session}
        asked = {"data": [photo_of_own(visitor, f"given up {number}"), MODEL, None, None, None]}
        body["event_id"] = visitor.http.post("/gradio_api/queue/join", json=body | asked).json()["event_id"]
        until(lambda number=number: len(gate.came) == number)  # type: ignore[misc]
        with suppress(httpx.ReadTimeout):
            visitor.http.post("/gradio_api/cancel", json=body, timeout=0.5)
    with Visitor(url) as other, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(other.segment, photo_of_own(other, "wanted"), MODEL)
        until(lambda: waiting(url) == 1)
        time.sleep(0.5)
        assert len(gate.came) == 2
        gate.open.set()
        assert answer.result()[2]["classes"]["cat"] > 0.2


def test_places_are_given_in_the_order_of_coming(url: str, gate: Gate) -> None:
    visitors = [Visitor(url) for _ in range(6)]
    photos = [photo_of_own(one, f"comer {index}") for index, one in enumerate(visitors)]
    event = visitors[0].event("segment")
    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = []
        for one, photo in zip(visitors, photos, strict=True):
            answers.append(pool.submit(one.ask, event, [photo, MODEL, None, None, None]))
            until(lambda: len(gate.came) + waiting(url) == len(answers))
        gate.open.set()
        for answer in answers:
            answer.result()
    came = [gate.came.index(photo["path"]) for photo in photos]
    assert all(abs(place - index) <= 1 for index, place in enumerate(came))  # two at once, in either order
    for one in visitors[2:]:
        ranks = [message["rank"] for message in one.events if message["msg"] == "estimation"]
        assert ranks  # everyone who waits is told their place
        assert ranks == sorted(ranks, reverse=True)  # and nobody is overtaken
    for one in visitors:
        one.http.close()


def test_what_passes_the_queue_by_reads_no_photo(url: str, visitor: Visitor, gate: Gate) -> None:
    """Else as many would be decoded at once as visitors ask for."""
    photo = photo_of_own(visitor, "large")
    queued = {event["id"]: event["queue"] for event in visitor.config()["dependencies"]}
    events = [event for event in events_with_a_photo(visitor) if queued[event[0]] is False]
    for number, inputs, position in events:
        body = {"fn_index": number, "session_hash": visitor.session}
        data = [*inputs[:position], photo, *inputs[position + 1 :]]
        with suppress(httpx.ReadTimeout):
            visitor.http.post("/gradio_api/run/predict", json=body | {"data": data}, timeout=2)
    assert gate.came == []


def test_a_full_queue_is_said(url: str, gate: Gate) -> None:
    with Visitor(url) as crowd, Visitor(url) as late:
        event = crowd.event("segment")
        for mark in ("first", "second"):  # the same photo would be read once for both
            crowd.join(event, [photo_of_own(crowd, mark), MODEL, None, None, None])
        until(lambda: len(gate.came) == 2)
        for _ in range(LONGEST_QUEUE):
            crowd.join(event, [None, MODEL, None, None, None])
        with pytest.raises(Refused, match=str(LONGEST_QUEUE)):  # the most that may wait
            late.ask(event, [None, MODEL, None, None, None])
        gate.open.set()
        until(lambda: waiting(url) == 0)
        with pytest.raises(Refused, match="no photo"):
            late.ask(event, [None, MODEL, None, None, None])


def test_each_visitor_gets_their_own_picture(url: str) -> None:
    """Eight at once, the same photo in other sizes and turns; compared with what the library says."""
    turns = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180]
    photos = []
    for index in range(8):
        photo = Image.open(CAT).convert("RGB").resize((200 + 7 * index, 140 + 5 * index))
        turn = turns[index % 4]
        photos.append(photo if turn is None else photo.transpose(turn))
    network = segmodels.load(MODEL)
    expected = [network(photo).labels for photo in photos]

    def visit(index: int) -> None:
        with Visitor(url) as one:
            data = tobytes(photos[index])
            for _ in range(3):
                labels, _, _ = one.segment(one.upload(data), MODEL)
                assert labels.size == photos[index].size
                assert (np.asarray(labels) == expected[index]).mean() > 0.999

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))


def tobytes(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    return buffer.getvalue()


def test_sessions_are_bounded_and_keep_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless number would fill the memory, and so would the answers that nobody fetches."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("demo.SESSIONS", 3)
    monkeypatch.setattr(cache, "TRIM_SECONDS", 0.01)
    trimmed = threading.Event()
    monkeypatch.setattr(malloc, "release_freed_memory", trimmed.set)
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    for _ in range(6):
        with Visitor(url) as one, pytest.raises(Refused):
            one.segment(None)
    assert len(page.state_holder.session_data) <= 3
    for _ in range(9):
        with Visitor(url) as one:
            one.join(one.event("segment"), [None, MODEL, None, None, None])
            until(lambda: not page._queue.event_ids_to_events)
    assert len(page._queue.pending_messages_per_session) <= 6
    with Visitor(url) as one:
        shown = one.show(one.upload(CAT.read_bytes()), MODEL)
        assert "data:image/png" in str(shown)
        assert one.session in page.state_holder.session_data
    sessions = [vars(session) | {"blocks_config": None} for session in page.state_holder.session_data.values()]
    assert not any("data:image" in str(session) or "cat.jpg" in str(session) for session in sessions)
    assert trimmed.wait(10)
    page.close()


def test_the_queue_outlives_any_number_of_visitors_who_come_while_others_wait(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait are told their place: who was forgotten meanwhile cannot be told, and gradio's queue would end there."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("demo.SESSIONS", 2)
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with Visitor(url) as first, ThreadPoolExecutor(1) as pool:
        event = first.event("segment")
        for mark in ("one", "another"):
            first.join(event, [photo_of_own(first, mark), MODEL, None, None, None])
        until(lambda: len(gate.came) == 2)
        with Visitor(url) as second:
            waits = pool.submit(second.ask, event, [photo_of_own(second, "waits"), MODEL, None, None, None])
            until(lambda: waiting(url) == 1)
            for _ in range(6):
                with Visitor(url) as other:
                    other.join(event, [None, MODEL, None, None, None])
            gate.open.set()
            assert waits.result()[2]["classes"]["cat"] > 0.2
    with Visitor(url) as late:
        assert late.segment(photo_of_own(late, "late"), MODEL)[2]["classes"]["cat"] > 0.2
    page.close()


def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    own = uploads.use_own_folder()
    page = build()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    begin = b'--X\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n' + bytes(2**20)
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=X\r\n"
    with socket.create_connection(("127.0.0.1", page.server_port)) as connection:
        connection.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + begin)
        until(lambda: any(own.glob("tmp*")))
    until(lambda: not any(own.glob("tmp*")))
    assert httpx.get(url).status_code == 200
    page.close()
