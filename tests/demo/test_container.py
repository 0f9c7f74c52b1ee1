"""The container: what the Dockerfile copies is all that the page needs, and the image runs where Docker does."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(address: str, seconds: float) -> bool:
    """Whether a page is there before so many seconds are over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return "gradio" in httpx.get(address).text
        except httpx.TransportError:
            time.sleep(0.3)
    return False


@pytest.mark.slow
def test_what_is_copied_is_all_that_the_page_needs(tmp_path: Path) -> None:
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            place = tmp_path / (target if target not in (".", "./") else source)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    command = re.search(r'^CMD \["python", "(.+)"\]$', DOCKERFILE, re.MULTILINE)
    assert command
    port = free_port()
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("GRADIO")}
    environment = own | dict(re.findall(r"^ENV (\w+)=(.+)$", DOCKERFILE, re.MULTILINE))
    assert environment["GRADIO_SERVER_NAME"] == "0.0.0.0"
    running = subprocess.Popen(
        [sys.executable, command[1]],
        cwd=tmp_path,
        env=environment | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert answers(f"http://127.0.0.1:{port}/", 120), running.poll()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.communicate()


def test_all_that_is_copied_is_let_through_by_dockerignore() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source for sources in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for source in sources.split()
    ]
    assert set(copied) == let_through
    assert all((ROOT / source).exists() for source in copied)


def _docker_runs() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", "info"], capture_output=True).returncode == 0


@pytest.mark.long
@pytest.mark.skipif(not _docker_runs(), reason="needs a running Docker")
def test_the_image_is_built_and_serves_the_page() -> None:
    port, name = free_port(), f"segmodels-test-{os.getpid()}"
    subprocess.run(["docker", "build", "-t", name, str(ROOT)], check=True)
    subprocess.run(["docker", "run", "--rm", "-d", "--name", name, "-p", f"{port}:7860", name], check=True)
    try:
        assert answers(f"http://127.0.0.1:{port}/", 120)
    finally:
        subprocess.run(["docker", "stop", name], check=True)
        subprocess.run(["docker", "rmi", name], check=True)
