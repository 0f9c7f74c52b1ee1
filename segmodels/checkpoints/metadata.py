"""What a weights file says of itself, in safetensors' metadata: weights without it can be taken for something else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from ..labels import ClassList

KEY = "segmodels"
"""The entry of the metadata that holds the record, as JSON."""

Numbers = tuple[float, float, float]


@dataclass(frozen=True)
class Metadata:
    """The facts about the weights in one file."""

    network: str
    """Its name in the zoo."""
    class_list: ClassList
    atrous_rate: int | None
    """The rate and, below, the stride it was trained and validated at."""
    output_stride: int
    mean: Numbers
    std: Numbers
    working_size: int
    """The sizes, in pixels, at which it was validated, as on a card."""
    short_side: int | None
    start: str
    """What the training started from."""
    data: Mapping[str, int]
    """The folders it was trained on, and how many photos of each."""
    backbone: str | None = None
    """For a decoder alone: the ``backbone_hash`` of the backbone it was trained on."""
    display_range: str = "percentiles"
    """The rule by which values of more than eight bits a channel became black and white for it:
    ``segmodels.inference.reading.display_range``. There is one so far, and files without a word of it are read by it."""
    score_strides: tuple[int, ...] | None = None
    """For layers that were fitted to strokes: the strides of the network's features that they score."""
    microscopy: bool = False
    """Whether they are for pictures from microscopes, as on a card."""

    @property
    def origin(self) -> str:
        """What the weights were trained on, and from: a clause."""
        if self.score_strides is not None:
            return f"taught by {self.start}"
        folders = ", ".join(f"{count} photos of {name}" for name, count in self.data.items())
        return f"trained on {folders}, from {self.start}"

    def metadata(self) -> dict[str, str]:
        """As it stands in a safetensors file."""
        return {KEY: json.dumps(asdict(self))}


def read_metadata(metadata: Mapping[str, str] | None) -> Metadata | None:
    """The record in a file's metadata; None if it has none, as weights made elsewhere.

    Raises:
        ValueError: if it has one that cannot be understood.
    """
    if not metadata or KEY not in metadata:
        return None
    try:
        fields: dict[str, Any] = json.loads(metadata[KEY])
        classes = fields.pop("class_list")
        colours = tuple((red, green, blue) for red, green, blue in classes["colours"])
        mean, std = (_three(fields.pop(name)) for name in ("mean", "std"))
        strides = fields.pop("score_strides", None)
        record = Metadata(
            **fields,
            class_list=ClassList(tuple(classes["names"]), colours, classes.get("background")),
            mean=mean,
            std=std,
            score_strides=None if strides is None else tuple(strides),
        )
        _check(record)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"what it says of itself cannot be understood ({type(error).__name__}: {error})") from None
    return record


def _three(values: Any) -> Numbers:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _check(record: Metadata) -> None:
    """Raise TypeError or ValueError unless every fact is of its kind."""
    kinds: dict[str, Any] = {
        "network": str,
        "start": str,
        "data": dict,
        "backbone": str | None,
        "atrous_rate": int | None,
        "output_stride": int,
        "working_size": int,
        "short_side": int | None,
        "microscopy": bool,
    }
    for name, kind in kinds.items():
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"{name.replace('_', ' ')} {getattr(record, name)!r}")
    if record.display_range != "percentiles":
        raise ValueError(
            f"it was trained on pictures shown by the rule {record.display_range!r}, which is not known here"
        )
    if not all(abs(value) < 1e4 for value in record.mean) or not all(1e-3 < value < 1e4 for value in record.std):
        raise ValueError(f"no photo is normalised by {record.mean} and {record.std}")


def backbone_hash(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the backbone in a state dict, at the half precision in which weights are written."""
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith("backbone.")):
        tensor = state[name].cpu()
        tensor = tensor.half() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
