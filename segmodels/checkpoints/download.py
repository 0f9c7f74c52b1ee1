"""Download published weights into a cache: checked by hash, whole or not at all."""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from socket import create_connection
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, proxy_bypass, urlopen

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from ..files import display_path

Progress = Callable[[int, int | None], None]
"""Told, while weights are fetched, how many bytes have arrived and of how many, None if the server does not say."""


CONNECT_SECONDS = 2.0
"""How long finding a server may take, name resolution and all: without a network, the answer is there after that."""


READ_SECONDS = 15.0
"""How long a server may be silent once it is found."""


WAIT_SECONDS = 0.5
"""How often whoever waits for another's download is told that nothing has arrived yet."""


CHUNK = 2**19


class FetchError(ValueError):
    """Weights cannot be downloaded. The message says why."""


class CacheError(FetchError):
    """Weights cannot be stored on this machine, which the person who asked for them cannot change."""


def cached_file(url: str) -> Path:
    """Return where the file at ``url`` is kept once it is downloaded: in torch's hub cache, under torchvision's name
    for it.
    """
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlsplit(url).path).name)


def fetch(url: str, sha256: str, progress: Progress | None = None) -> Path:
    """Return the file at ``url``, from the cache or else from the network.

    The file appears in the cache whole or not at all. If several threads or processes ask at once, they wait for one
    download.

    Args:
        url: the address of the file.
        sha256: the beginning of its SHA-256, in hex digits.
        progress: called with the bytes received so far and the total, while the download or the wait for another one
            lasts; without it, a terminal shows a progress bar.

    Returns:
        The path of the file in the cache.

    Raises:
        FetchError: if there is no connection or it breaks, the server does not have this file, or the cache cannot be
            used. The message is a clause such as "there is no connection to download.pytorch.org".
    """
    file = cached_file(url)
    damaged = ""
    try:
        if _is_intact(file, sha256):
            return file
        damaged = "the file in the cache is damaged and " if file.exists() else ""
        file.parent.mkdir(parents=True, exist_ok=True)
        with _acquired(FileLock(f"{file}.lock"), progress):
            if not _is_intact(file, sha256):  # another may have fetched it meanwhile
                _download(url, sha256, file, progress)
    except FetchError as error:
        raise FetchError(f"{damaged}{error}") from error
    except OSError as error:
        raise CacheError(
            f"the cache in {display_path(file.parent)} cannot be used ({error.strerror or error})"
        ) from error
    return file


def _acquired(lock: FileLock, progress: Progress | None) -> AbstractContextManager[object]:
    """``lock``, to be held with ``with``; while another holds it, ``progress`` is called, which may raise."""
    while True:
        try:
            return lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            if progress:
                progress(0, None)


def _is_intact(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest().startswith(sha256)


def _download(url: str, sha256: str, file: Path, progress: Progress | None) -> None:
    """Write what is at ``url`` into ``file``, by way of a partial file that is checked before it gets the name."""
    partial = file.with_name(file.name + ".partial")
    try:
        with _open(url) as response, partial.open("wb") as out:
            digest = _copy(response, out, file.name, progress)
        if not digest.startswith(sha256):
            raise FetchError(f"what {urlsplit(url).hostname} sent is not {file.name}: its SHA-256 is another")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _open(url: str) -> HTTPResponse:
    host = urlsplit(url).hostname
    _check_reachable(url)
    try:
        response: HTTPResponse = urlopen(Request(url, headers={"User-Agent": "segmodels"}), timeout=READ_SECONDS)
    except HTTPError as error:
        error.close()
        raise FetchError(f"{host} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise FetchError(f"{host} does not answer as it should ({error})") from error
    return response


def _check_reachable(url: str) -> None:
    """Raise FetchError unless the server of ``url``, or the proxy before it, takes a connection in time.

    A timeout of the connection alone would not do: it covers one address of several, and not the name's resolution.
    """
    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = (target.hostname, target.port or (443 if target.scheme == "https" else 80))
    reached: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def connect() -> None:
        try:
            create_connection(address, CONNECT_SECONDS).close()
        except OSError:
            reached.put(False)
        else:
            reached.put(True)

    threading.Thread(target=connect, daemon=True).start()
    try:
        connected = reached.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        connected = False
    if not connected:
        raise FetchError(f"there is no connection to {urlsplit(url).hostname}")


def _copy(response: HTTPResponse, out: BinaryIO, name: str, progress: Progress | None) -> str:
    """Write the answer into ``out``; returns its SHA-256."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    digest = hashlib.sha256()
    done = 0
    hidden = True if progress else None  # None: unless it is a terminal
    with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
        for chunk in _chunks(response):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            bar.update(len(chunk))
            if progress:
                progress(done, total)
    if total is not None and done != total:
        raise FetchError(f"the download broke off after {done / 1e6:.1f} of {total / 1e6:.1f} MB")
    return digest.hexdigest()


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise FetchError("the download broke off") from error
