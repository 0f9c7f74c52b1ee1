"""Read and write weights files. They are checked before they are used, and cannot run code."""

import hashlib
import io
import json
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files import atomic_write, display_path
from .metadata import Metadata, read_metadata


def read_state(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Return the tensors in a weights file. Arguments and errors are those of ``read_weights``."""
    return read_weights(path, sha256)[0]


def read_weights(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], Metadata | None]:
    """Read a ``.safetensors`` file, or a torch file with ``weights_only``. The file may come from a stranger.

    Args:
        path: the file to read.
        sha256: its expected SHA-256, in hex digits; not checked if None.

    Returns:
        The tensors by name, and the metadata. The metadata is None for a file that was not written by this package.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, is not a state dict, or has another hash.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the weights file {display_path(path)} is missing")
    content = path.read_bytes()
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"the weights file {display_path(path)} is damaged or was changed (its SHA-256 is not the one on its card); "
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
        raise ValueError(f"{display_path(path)} holds no weights that can be read: {reason}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{display_path(path)} is not a state dict of tensors")
    try:
        return state, read_metadata(metadata)
    except ValueError as error:
        raise ValueError(f"{display_path(path)} cannot be used: {error}") from error


def load_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load ``state`` into ``network``, whatever the floating-point precision of either.

    Args:
        network: the module to load into.
        state: its tensors by name.

    Raises:
        ValueError: if names, shapes or types do not fit, or numbers are not finite. The message names the first such
            tensor.
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


def save_state(network: nn.Module, path: Path, part: str = "", record: Metadata | None = None) -> None:
    """Write the weights of ``network`` in half precision as safetensors. The file appears whole or not at all.

    Args:
        network: the module to save.
        path: the file to write.
        part: only the weights whose names begin with this.
        record: the metadata to write with them.

    Raises:
        OSError: if the file cannot be written.
    """
    state = {name: _half(tensor) for name, tensor in network.state_dict().items() if name.startswith(part)}
    with atomic_write(path) as partial:
        save_file(state, partial, record.metadata() if record else None)


def _half(tensor: Tensor) -> Tensor:
    """In half precision, unless it holds numbers that are too large for it."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half()
    return (half if half.isfinite().all() else tensor).contiguous()
