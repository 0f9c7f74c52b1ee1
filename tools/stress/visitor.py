"""A visitor without a browser: speaks to the running app as the page does, and as the page never would."""

import io
import json
import secrets
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from PIL import Image

UPLOADED = {"_type": "gradio.FileData"}
"""What a file calls itself in a request."""


class Refused(Exception):
    """The app answered with an error; the message is what it said."""


class Visitor:
    """One session. Every call waits for its answer."""

    def __init__(self, url: str, seconds: float = 120) -> None:
        self.session = secrets.token_hex(8)
        self.http = httpx.Client(base_url=url.rstrip("/"), timeout=seconds)
        self.events: list[dict[str, Any]] = []
        """The messages of the last call."""

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def upload(self, data: bytes, name: str = "photo.jpg") -> dict[str, Any]:
        """Send a file; what to pass as the photo from then on."""
        answer = self.http.post("/gradio_api/upload", files=[("files", (name, data))])
        if answer.status_code != 200:
            raise Refused(_said(answer))
        return {"path": answer.json()[0], "orig_name": name, "meta": UPLOADED}

    def join(self, event: int, inputs: list[Any]) -> None:
        """Ask for an event, and do not wait for the answer."""
        body = {"fn_index": event, "data": inputs, "session_hash": self.session}
        answer = self.http.post("/gradio_api/queue/join", json=body)
        if answer.status_code != 200:
            raise Refused(_said(answer))

    def ask(self, event: int, inputs: list[Any]) -> list[Any]:
        """The outputs of an event.

        Raises:
            Refused: if the app answers with an error.
        """
        self.join(event, inputs)
        self.events = []
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line.removeprefix("data:"))
                self.events.append(message)
                if message["msg"] == "process_completed":
                    if message["success"]:
                        outputs: list[Any] = message["output"]["data"]
                        return outputs
                    raise Refused(str(message["output"]["error"]))
                if message["msg"] == "unexpected_error":
                    raise Refused(str(message["message"]))
        raise Refused("the connection was closed without an answer")

    def serve(self, function: str, data: Any, component: int | None = None) -> Any:
        """What a component answers, by default the Segment tab's pictures: ``ask``, ``position`` or ``frame``."""
        body = {
            "data": data,
            "component_id": component or self.pictures,
            "fn_name": function,
            "session_hash": self.session,
        }
        answer = self.http.post("/gradio_api/component_server", json=body)
        if answer.status_code != 200:
            raise Refused(_said(answer))
        return answer.json()

    @cached_property
    def pictures(self) -> int:
        """The number of that component."""
        components = self.config()["components"]
        return next(int(one["id"]) for one in components if one["props"].get("elem_id") == "pictures")

    def show(self, photo: dict[str, Any] | None, model: Any, rate: Any = 6, stride: Any = 16, crf: bool = False) -> Any:
        """What the Segment tab is answered."""
        settings = {"model": model, "rate": rate, "stride": stride, "crf": crf}
        return self.serve("ask", {"photo": photo, **settings, "ticket": "1"})

    def refusal(self, event: int, inputs: list[Any]) -> str | None:
        """What the app says against an event; None if nothing."""
        try:
            self.ask(event, inputs)
        except Refused as refused:
            return str(refused)
        return None

    def event(self, name: str) -> int:
        """The number of a public event."""
        found: list[int] = [one["id"] for one in self.config()["dependencies"] if one["api_name"] == name]
        return found[0]

    def config(self) -> dict[str, Any]:
        """What the page knows of its components and events."""
        config: dict[str, Any] = self.http.get("/config").json()
        return config

    def picture(self, file: dict[str, Any]) -> Image.Image:
        """A result, fetched."""
        return Image.open(io.BytesIO(self.http.get(f"/gradio_api/file={file['path']}").raise_for_status().content))

    def segment(
        self, photo: dict[str, Any] | None, model: Any = "fcn_mobilenetv2", rate: Any = None, stride: Any = None
    ) -> tuple[Image.Image, Image.Image, dict[str, Any]]:
        """Label map, overlay and report from ``/segment``."""
        labels, overlay, report = self.ask(self.event("segment"), [photo, model, rate, stride, None])
        return self.picture(labels), self.picture(overlay), report

    def segment_file(self, file: Path, **settings: Any) -> tuple[Image.Image, Image.Image, dict[str, Any]]:
        """The same of a file."""
        return self.segment(self.upload(file.read_bytes(), file.name), **settings)


def _said(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except json.JSONDecodeError:
        return answer.text
    return str(said.get("detail", said)) if isinstance(said, dict) else str(said)
