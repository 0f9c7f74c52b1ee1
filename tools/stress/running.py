"""The app in a process of its own, as ``python app.py`` or another command starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx

ROOT = Path(__file__).resolve().parents[2]


class RunningApp:
    """Started on entering, ended by SIGTERM on leaving; ``root`` is the folder of another checkout, to compare with.

    Attributes:
        url: where it answers.
        output: the file that it writes to, for what it says.
    """

    def __init__(
        self, command: Sequence[str | Path] = (sys.executable, ROOT / "app.py"), cwd: Path = ROOT, **environment: str
    ) -> None:
        self.command, self.cwd = command, cwd
        self.folder = tempfile.TemporaryDirectory()
        self.output = Path(self.folder.name) / "output"
        own = {"GRADIO_TEMP_DIR": f"{self.folder.name}/temp", "PYTHONUNBUFFERED": "1"}
        own |= {"GRADIO_SERVER_PORT": str(free_port())}
        self.environment = os.environ | own | environment

    def __enter__(self) -> "RunningApp":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end()
        self.folder.cleanup()

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.environment, stdout=output, stderr=output
            )
        for _ in range(30_000):
            found = re.search(r"http://[\d.]+:\d+", self.output.read_text())
            with suppress(httpx.TransportError):
                if found and httpx.get(found[0]).status_code == 200:
                    self.url = found[0]
                    return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
                break
        raise RuntimeError(f"the app does not start: {self.output.read_text()}")

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send it the signal and wait; returns the exit status."""
        self.process.send_signal(how)
        return self.process.wait(60)

    def memory(self) -> int:
        """Bytes that it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return 1024 * int(found[1])

    def processor_seconds(self) -> float:
        """Processor time that it has taken since its start, in all its threads."""
        of_process = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(of_process[11]) + int(of_process[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """One that nobody uses yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def megabytes(size: int) -> int:
    """Bytes as a number for people."""
    return round(size / 2**20)
