"""What else goes wrong: disks fill, files break, processes are killed. A sentence, and a next start that works."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.server import cache
from segmodels.inference.segmenter import Segmenter
from segmodels.models import registry
from segmodels.training.results import results_folder
from tools.stress.running import ROOT, RunningApp
from tools.stress.visitor import Refused, Visitor

from ..conftest import EXAMPLES

CAT = EXAMPLES / "cat.jpg"
FULL = re.escape(f"cannot do this now ({os.strerror(errno.ENOSPC).lower()})")


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def noise(width: int, height: int) -> bytes:
    """A photo that does not compress: three bytes a pixel."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# --- A process of its own -------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "none", folder], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_a_kill_and_a_clean_end(small_disk: Path) -> None:
    """Full at an upload, then at a result; emptied; killed; started again; ended by SIGTERM."""
    with RunningApp(GRADIO_TEMP_DIR=str(small_disk), TMPDIR=str(small_disk)) as app:
        assert "matplotlib" not in Path(f"/proc/{app.process.pid}/maps").read_text()  # the start can do without
        with Visitor(app.url) as visitor:
            with pytest.raises(Refused, match=FULL):
                visitor.upload(noise(2000, 2000))
            photo = visitor.upload(noise(1200, 1000))  # for which there is room again
            filler = small_disk / "filler"
            with filler.open("wb") as file, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                file.write(bytes(8 * 2**20))
            with pytest.raises(Refused, match=FULL):
                visitor.segment(photo)
            filler.unlink()
            assert visitor.segment_file(CAT)[2]["classes"]["cat"] > 0.2
        app.end(signal.SIGKILL)
        left = [path for path in small_disk.iterdir() if path.name.startswith("segmodels-uploads-")]
        assert len(left) == 1
        os.utime(left[0], (0, 0))  # as if it had been long ago

        app.start()
        assert not left[0].exists()
        with Visitor(app.url) as visitor:
            assert visitor.segment_file(CAT)[2]["classes"]["cat"] > 0.2
        assert app.end(signal.SIGTERM) == 0
        assert "Traceback" not in app.output.read_text()
        assert not [path for path in small_disk.iterdir() if path.name.startswith("segmodels-uploads-")]


# --- Weights --------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled weights that may be damaged, and nothing loaded yet."""
    folder = tmp_path / "weights"
    shutil.copytree(registry.WEIGHTS, folder)
    monkeypatch.setattr("segmodels.models.card.WEIGHTS", folder)
    fresh: cache.LRUCache[Segmenter] = cache.LRUCache(8)
    monkeypatch.setattr(cache, "_segmenters", fresh)
    return folder


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "one bit", "another network's", "a pickle"])
def test_damaged_weights_are_named_and_others_still_work(url: str, weights: Path, damage: str) -> None:
    file = weights / "unet_mobilenetv2.safetensors"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    broken = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "one bit": bytes(flipped),
        "another network's": (weights / "fcn_mobilenetv2.safetensors").read_bytes(),
        "a pickle": b"\x80\x04\x95cposix\nsystem\n(X\x02\0\0\0lstR.",
    }
    file.unlink() if damage == "missing" else file.write_bytes(broken[damage])
    with Visitor(url) as visitor:
        with pytest.raises(Refused, match=r"The weights file unet_mobilenetv2\.safetensors is (missing|damaged)"):
            visitor.segment_file(CAT, model="unet_mobilenetv2")
        assert visitor.segment_file(CAT, model="fcn_mobilenetv2")[2]["classes"]["cat"] > 0.2
        file.write_bytes(whole)
        assert visitor.segment_file(CAT, model="unet_mobilenetv2")[2]["model"] == "unet_mobilenetv2"


def test_a_cache_that_cannot_be_written_is_explained(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no-folder").write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-folder"))
    with Visitor(url) as visitor, pytest.raises(Refused, match="no room for them; choose a network bundled"):
        visitor.segment_file(CAT, model="deeplabv3_mobilenet_v3_large")


def test_a_read_only_cache_is_explained(url: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    monkeypatch.setenv("TORCH_HOME", str(small_disk))
    with Visitor(url) as visitor, pytest.raises(Refused, match="no room for them; choose a network bundled"):
        visitor.segment_file(CAT, model="deeplabv3_mobilenet_v3_large")


FETCH = "import sys; from segmodels.checkpoints.download import fetch; print(fetch(sys.argv[1], sys.argv[2]))"


def test_a_download_that_is_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Half of the file arrives, then the process is killed; the next one fetches it whole."""
    content = np.random.default_rng(0).bytes(4 * 2**20)
    digest = hashlib.sha256(content).hexdigest()
    paused, go_on = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: 2 * 2**20])
            paused.set()
            go_on.wait(60)
            self.wfile.write(content[2 * 2**20 :])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/network-{digest[:8]}.pth"
    command = [sys.executable, "-c", FETCH, address, digest[:8]]
    environment = os.environ | {"TORCH_HOME": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    file = tmp_path / "hub" / "checkpoints" / f"network-{digest[:8]}.pth"
    partial = file.with_name(file.name + ".partial")
    until(lambda: paused.is_set() and partial.exists() and partial.stat().st_size > 0)
    process.kill()
    process.communicate()
    assert not file.exists()

    go_on.set()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert again.stdout.strip() == str(file)
    assert file.read_bytes() == content
    assert not partial.exists()
    server.shutdown()
    server.server_close()


# --- Training -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_training_that_is_killed_goes_on_with_the_same_curve(data_folder: Path, tmp_path: Path) -> None:
    def command(out: Path, *more: str) -> list[str]:
        settings = ["batch=2", "crop=64", "warmup=2"]
        options = [part for setting in settings for part in ("--set", setting)]
        base = [sys.executable, "-m", "segmodels", "train", str(data_folder), "--model", "fcn_mobilenetv2"]
        return [*base, "--out", str(out), "--epochs", "12", "--workers", "0", *options, *more]

    def curve(out: Path) -> list[float]:
        return [row["loss"] for row in json.loads((results_folder(out) / "log.json").read_text())["history"]]

    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    subprocess.run(command(whole), cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen(command(killed), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = killed.with_suffix(".checkpoint.pt")
    until(lambda: checkpoint.exists() or process.poll() is not None, 120)
    process.kill()
    process.wait()
    assert not killed.exists()  # it was in the middle
    subprocess.run(command(killed, "--resume"), cwd=ROOT, check=True, capture_output=True)
    assert len(curve(whole)) == 12
    assert curve(killed) == pytest.approx(curve(whole), rel=1e-3)
