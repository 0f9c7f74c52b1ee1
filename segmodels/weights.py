"""Where weights come from: files that are checked before they are used, and never hold code."""

import hashlib
import io
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from shutil import disk_usage
from socket import create_connection
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, proxy_bypass, urlopen

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from .networks.backbones import MobileNetV2
from .record import Record, record_in

IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""The mean and deviation of ImageNet's pixels, with which torchvision's backbones were trained."""


def fold_batch_norm(
    weight: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The weight and bias of one convolution that does what a convolution and its batch norm did."""
    factor = scale * torch.rsqrt(variance + eps)
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift - mean * factor


def load_mobilenet(
    backbone: MobileNetV2, state: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> None:
    """Start ``backbone`` from ``state``, torchvision's ImageNet weights of ``mobilenet_v2``, batch norms folded.

    They expect pixels normalised by ImageNet's mean and deviation, and the backbone gets them by ``mean`` and ``std``: the
    first convolution makes up for it, but for the zeros that pad the photo, which are grey here.
    """
    tensors = [tensor for name, tensor in state.items() if name.startswith("features.") and "num_batches" not in name]
    convs = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    eps = nn.BatchNorm2d(1).eps
    starts = range(0, len(tensors), 5)
    folded = [
        fold_batch_norm(weight, scale, shift, average, variance, eps)
        for weight, scale, shift, average, variance in (tensors[start : start + 5] for start in starts)
    ]
    folded = folded[: len(convs)]  # the last one leads to the classifier
    with torch.no_grad():
        for conv, (weight, bias) in zip(convs, folded, strict=True):
            assert conv.bias is not None
            conv.weight.copy_(weight)
            conv.bias.copy_(bias)
        first = convs[0]
        assert first.bias is not None
        scale = torch.tensor(std) / torch.tensor(IMAGENET_STD)
        shift = (torch.tensor(mean) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        first.bias += (first.weight * shift[:, None, None]).sum((1, 2, 3))
        first.weight *= scale[:, None, None]


def read_state(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors in a weights file. Arguments and errors as of ``read_weights``."""
    return read_weights(path, sha256)[0]


def read_weights(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], Record | None]:
    """The tensors of a ``.safetensors`` file, or of a torch file read with ``weights_only``; and what it says of itself.

    The file may come from a stranger. One that was made elsewhere has no record.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, is not a state dict, or its hash is not ``sha256``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the weights file {shown(path)} is missing")
    content = path.read_bytes()
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"the weights file {shown(path)} is damaged or was changed (its SHA-256 is not the one on its card); "
            "fetch it again, or start again with the new one"
        )
    metadata = None
    try:
        if path.suffix == ".safetensors":
            state = load_safetensors(content)
            header = content[8 : 8 + int.from_bytes(content[:8], "little")]
            metadata = json.loads(header).get("__metadata__")
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken file does to a decoder has many names
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{shown(path)} holds no weights that can be read: {reason}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{shown(path)} is not a state dict of tensors")
    try:
        return state, record_in(metadata)
    except ValueError as error:
        raise ValueError(f"{shown(path)} cannot be used: {error}") from error


def load_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Put ``state`` into ``network``, whatever its floating-point precision.

    Raises:
        ValueError: if names, shapes or kinds do not fit, or numbers are not finite, naming the first that does not.
    """
    own = network.state_dict()
    for name in [*own, *state]:
        if name not in own or name not in state:
            raise ValueError(f"these weights belong to another network: they do not fit at {name}")
        if own[name].shape != state[name].shape:
            given, needed = (" x ".join(map(str, tensor.shape)) or "1" for tensor in (state[name], own[name]))
            raise ValueError(
                "these weights belong to another network, or to another number of classes: "
                f"they do not fit at {name}, which is {given} and should be {needed}"
            )
    network.load_state_dict({name: _fitting(name, tensor, own[name]) for name, tensor in state.items()})


def _fitting(name: str, tensor: Tensor, own: Tensor) -> Tensor:
    """``tensor`` in the precision of ``own``."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.is_floating_point() != own.is_floating_point():
        raise ValueError(
            f"these weights cannot be used: {name} holds no {'numbers' if own.is_floating_point() else 'count'}"
        )
    try:
        converted = tensor.detach().to(own.dtype)
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(f"these weights cannot be used: {name} is of type {tensor.dtype}") from error
    if not converted.isfinite().all():
        raise ValueError(f"these weights are damaged: {name} holds numbers that are not finite")
    return converted


def save_state(network: nn.Module, path: Path, part: str = "", record: Record | None = None) -> None:
    """Write the weights of ``network`` in half precision as safetensors; the file appears whole or not at all.

    Of the weights, those whose names begin with ``part``; with them, what they say of themselves.
    """
    state = {name: _half(tensor) for name, tensor in network.state_dict().items() if name.startswith(part)}
    with whole_file(path) as partial:
        save_file(state, partial, record.metadata() if record else None)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to, beside ``path``: what is written there becomes ``path``, whole or not at all.

    Raises:
        OSError: with a sentence, if the disk is full or cannot be written; what ``path`` was before, it still is.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except Exception as error:
        full = path.parent.is_dir() and disk_usage(path.parent).free < FULL
        partial.unlink(missing_ok=True)
        reason = "the disk is full" if full else " ".join(str(error).split())[:200]
        raise OSError(f"{shown(path)} cannot be written: {reason}") from error


FULL = 2**20
"""Bytes: what is written where fewer are left failed for want of room. torch and safetensors say it in other words."""


def _half(tensor: Tensor) -> Tensor:
    """In half precision, unless it holds numbers that are too large for it."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half()
    return (half if half.isfinite().all() else tensor).contiguous()


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
    """Weights cannot be fetched; the message says why."""


class CacheError(FetchError):
    """They cannot be kept on this machine: nothing that whoever asked for them could mend."""


def cached_file(url: str) -> Path:
    """Where the file at ``url`` is kept, once it was fetched: in torch's hub cache, under torchvision's name for it."""
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlsplit(url).path).name)


def fetch(url: str, sha256: str, progress: Progress | None = None) -> Path:
    """The file at ``url``, its SHA-256 checked to start with ``sha256``, from the cache or else from the network.

    The file appears in the cache whole or not at all. Threads and processes that ask at once wait for the first one's
    download. While it lasts ``progress`` is called; without it, a terminal shows a bar.

    Raises:
        FetchError: if there is no connection or it breaks, the server has no such file or another one, or the cache
            cannot be used; the message is a clause such as "there is no connection to download.pytorch.org".
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
        raise CacheError(f"the cache in {shown(file.parent)} cannot be used ({error.strerror or error})") from error
    return file


def _acquired(lock: FileLock, progress: Progress | None) -> AbstractContextManager[object]:
    """``lock``, to be held with ``with``; while another holds it, ``progress`` is called, which may raise."""
    while True:
        try:
            return lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            if progress:
                progress(0, None)


def shown(path: Path) -> str:
    """A path for people, without the name of the user whose home it is in."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


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
