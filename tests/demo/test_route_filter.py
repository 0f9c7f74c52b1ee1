"""Which of gradio's routes are let in: every one there is, asked for in every spelling, with gradio itself left out."""

import asyncio
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from demo import build, launch_options
from demo.server import route_filter

OPEN = {
    "/": "GET HEAD",
    "/config": "GET",
    "/config/": "GET",
    "/static/{path:path}": "GET",
    "/assets/{path:path}": "GET",
    "/svelte/{path:path}": "GET",
    "/theme.css": "GET",
    "/favicon.ico": "GET",
    "/robots.txt": "GET",
    "/manifest.json": "GET",
    "/pwa_icon": "GET",
    "/pwa_icon/{size}": "GET",
    "/gradio_api/upload": "POST",
    "/gradio_api/upload_progress": "GET",
    "/gradio_api/file={path_or_url:path}": "GET HEAD",
    "/gradio_api/queue/join": "POST",
    "/gradio_api/queue/data": "GET",
    "/gradio_api/queue/status": "GET",
    "/gradio_api/cancel": "POST",
    "/gradio_api/reset": "POST",
    "/gradio_api/reset/": "POST",
    "/gradio_api/heartbeat/{session_hash}": "GET",
    "/gradio_api/run/{api_name}": "POST",
    "/gradio_api/run/{api_name}/": "POST",
    "/gradio_api/call/{api_name}": "POST",
    "/gradio_api/call/{api_name}/": "POST",
    "/gradio_api/call/{api_name}/{event_id}": "GET",
    "/gradio_api/call/v2/{api_name}": "POST",
    "/gradio_api/call/v2/{api_name}/": "POST",
    "/gradio_api/call/v2/{api_name}/{event_id}": "GET",
    "/gradio_api/component_server": "POST",
    "/gradio_api/component_server/": "POST",
    "/gradio_api/info": "GET",
    "/gradio_api/info/": "GET",
    "/gradio_api/app_id": "GET",
    "/gradio_api/app_id/": "GET",
    "/gradio_api/startup-events": "GET",
    "/gradio_api/theme.css": "GET",
}
"""gradio's routes that this page and gradio's clients ask for."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FILLED = {"size": "192", "path_or_url": "http://127.0.0.1:9/a.png", "path": "a.js"}


def routes(of: Sequence[Any]) -> Iterator[tuple[str, set[str]]]:
    """Each route's path and methods, those of routers within routers too."""
    for route in of:
        if path := getattr(route, "path", ""):
            yield path, set(getattr(route, "methods", None) or ())
        inner = getattr(route, "original_router", route)
        yield from routes(getattr(inner, "routes", None) or [])


@pytest.fixture(scope="module")
def gradios() -> dict[str, set[str]]:
    """All routes of the page's own gradio."""
    from gradio.routes import App

    found: dict[str, set[str]] = {}
    for path, methods in routes(App.create_app(build()).routes):
        found.setdefault(path, set()).update(methods)
    return found


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)(:path)?\}", lambda part: FILLED.get(part[1], "x"), path)


def let_in(method: str, target: str, kind: bytes = b"application/json", root: str = "") -> bool:
    """Whether a request, spelled as it is, reaches what is behind the door."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached")(scope, receive, send)

    scope = {
        "type": "http",
        "method": method,
        "path": httpx.URL(raw(target)).path,
        "headers": [(b"content-type", kind)],
        "query_string": b"",
        "root_path": root,
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(route_filter.RouteFilter(behind)(scope, receive, send))
    return bool(sent[0]["status"] == 200)


def raw(target: str) -> str:
    return "http://here" + target


def spellings(path: str) -> Iterator[str]:
    """The same address for a careless reader."""
    yield path
    yield quote(path, safe="/=")
    yield "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:])
    yield "/" + "".join(f"%25{ord(letter):02x}" for letter in path[1:])
    yield path.upper()
    yield "/" + path
    yield path.replace("/", "//")
    yield path + "/"
    yield "/static/.." + path
    yield path.replace("/gradio_api", "/gradio_api/.")


def test_the_routes_are_found_and_those_that_the_page_needs_are_among_them(gradios: dict[str, set[str]]) -> None:
    assert len(gradios) > 60
    for path, methods in OPEN.items():
        assert gradios[path] >= set(methods.split()), path


def test_what_the_page_needs_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILLED, "path_or_url", f"{get_upload_folder()}/a.png")
    for path, methods in OPEN.items():
        for method in methods.split():
            assert let_in(method, filled(path)), path


def test_files_are_taken_at_one_address_alone() -> None:
    """gradio keeps what a form holds, wherever it is sent to, and only the folder of uploads is ever swept."""
    for path, methods in OPEN.items():
        for kind in (b"multipart/form-data; boundary=X", b"Multipart/Mixed"):
            if "POST" in methods.split():
                assert let_in("POST", filled(path), kind) == (path == route_filter.UPLOAD), path


def test_programs_are_told_the_address_that_they_came_by_and_no_other_visitors() -> None:
    from gradio.routes import App

    page = build()
    for path in ("/gradio_api/info", "/gradio_api/info/", "/gradio_api/info?page=nonesuch"):
        client = TestClient(App.create_app(page, app_kwargs={"middleware": [Middleware(route_filter.RouteFilter)]}))
        for mine, others in (("wrong.example", "right.example"), ("right.example", "wrong.example")):
            said = client.get(path, headers={"Host": mine}).text
            assert f"http://{mine}" in said
            assert others not in said


def test_the_components_offer_nothing_but_what_the_pictures_ask(blocks: gr.Blocks) -> None:
    """Whoever may call a component's functions may call those of every component of the page."""
    offered = [
        (getattr(block, "elem_id", None), name)
        for block in blocks.blocks.values()
        for name, value in inspect.getmembers(block)
        if getattr(value, "_is_server_fn", False)
    ]
    places = {place for place, _ in offered}
    assert "teach" in places
    assert set(offered) == {(place, name) for place in places for name in ("ask", "position")} | {("pictures", "frame")}


def test_every_other_route_and_method_is_closed(gradios: dict[str, set[str]]) -> None:
    for path in gradios:
        for method in METHODS:
            if method not in OPEN.get(path, "").split() and not (method == "HEAD" and path in HARMLESS):
                assert not let_in(method, filled(path)), (method, path)


HARMLESS = {path for path, methods in OPEN.items() if path.count("/") <= 2 and "GET" in methods}
"""Here HEAD is let in too: gradio answers that it does not do it."""


def test_no_spelling_opens_a_closed_route(gradios: dict[str, set[str]]) -> None:
    """Whatever is let in of it is at an address where gradio has files of the page, and not that route."""
    closed = [path for path in gradios if path not in OPEN] + ["/gradio_api/file={path_or_url:path}"]
    assert "/gradio_api/file/{path:path}" in closed
    for path in closed:
        for target in spellings(filled(path)):
            for method in ("GET", "HEAD", "POST"):
                reached = httpx.URL(raw(target)).path
                assert not let_in(method, target) or reached.startswith("/static/"), (method, target)


@pytest.mark.parametrize(
    "prefix", ["file=", "file/", "proxy=", "FILE=", "file%3d", "file%3D", "/file=", "file=/", "file= "]
)
@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a", "HTTP://127.0.0.1/a", "https:/a", "ftp://a/b", "file:///etc/passwd"]
)
def test_no_address_gets_in_as_a_file(prefix: str, address: str) -> None:
    for spelled in (address, quote(address, safe=""), quote(quote(address, safe=""), safe="")):
        assert not let_in("GET", f"/gradio_api/{prefix}{spelled}")
        assert not let_in("HEAD", f"/gradio_api/{prefix}{spelled}")


def test_web_sockets_are_turned_away() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(route_filter.RouteFilter(never)({"type": "websocket", "path": "/gradio_api/queue/join"}, never, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_below_a_root_path_the_same_is_let_in_and_no_more() -> None:
    """A proxy keeps the prefix of its own address, or takes it away."""
    for prefix in ("", "/seg"):
        for path in ("/", "/config", "/gradio_api/upload", "/gradio_api/component_server"):
            method = "POST" if path.startswith("/gradio_api") else "GET"
            assert let_in(method, prefix + path, root="/seg"), prefix + path
        for path in (
            "/gradio_api/file=/etc/passwd",
            "/seg/seg/config",
            "/segments/config",
            "/proxy=http://a",
            "/gradio_api/runs",
        ):
            assert not let_in("GET", prefix + path, root="/seg"), prefix + path
    assert let_in("GET", "/seg", root="/seg")


def test_behind_a_proxy_that_keeps_its_prefix_the_page_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio.routes import App

    monkeypatch.setenv("GRADIO_ROOT_PATH", "/seg")
    client = TestClient(App.create_app(build(), app_kwargs={"middleware": [Middleware(route_filter.RouteFilter)]}))
    for prefix in ("/seg", ""):
        assert client.get(f"{prefix}/config").json()["root"] == "http://testserver/seg"


def test_nothing_that_gradio_may_be_told_by_its_environment_passes_the_filter_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRADIO_SSR_MODE", "true")
    monkeypatch.setenv("GRADIO_NUM_WORKERS", "2")
    page = build()
    try:
        page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        assert page.ssr_mode is False
        assert not getattr(page, "_static_worker_pool", None)
    finally:
        page.close()
