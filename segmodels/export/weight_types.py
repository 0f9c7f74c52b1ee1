"""A graph's weights in fewer bits."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..inference.contrast import contrast_range, stretch_contrast
from ..inference.photo import read_photo
from ..inference.sizes import network_input_size, resize_photo
from ..models.card import Card

if TYPE_CHECKING:
    import onnx

FEWEST = 64
"""Numbers that a tensor must have to be worth a node that converts it."""


def store_as_half(model: "onnx.ModelProto") -> None:
    """Store the float32 weights of ``model`` in float16, each with a node that converts it back before its use.

    Bundled weights are stored in float16 in this repository too, so that most of them lose nothing by it. A runtime
    converts constants once, when it loads the graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    conversions = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < FEWEST:
            continue
        name = tensor.name
        stored = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        tensor.CopyFrom(stored)
        conversions.append(helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT))
    nodes = [*conversions, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def quantised(model: "onnx.ModelProto", card: Card, align_corners: bool, photos: Sequence[Path]) -> "onnx.ModelProto":
    """Return ``model`` with unsigned 8-bit weights and activations, their ranges taken from ``photos``.

    Weights have a range for each output channel.

    Raises:
        ModuleNotFoundError: if onnxruntime is not installed.
        PhotoError: if a photo cannot be read.
    """
    try:
        from onnxruntime import quantization
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--uint8 needs onnxruntime: pip install onnxruntime") from None
    import onnx

    given = {put.name for put in model.graph.input}
    inputs = ({"image": as_input(photo, card, align_corners)} for photo in photos)
    rate = {"atrous_rate": np.array(card.atrous_rate)} if "atrous_rate" in given else {}

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.generic]] | None:
            image = next(inputs, None)
            return None if image is None else {**image, **rate}

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "uint8.onnx")
        quantization.quantize_static(
            model,
            out,
            Photos(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QUInt8,
        )
        done = onnx.load(out)
    del done.graph.value_info[:]
    del done.metadata_props[:]
    done.metadata_props.extend(model.metadata_props)
    return done


def as_input(photo: Path, card: Card, align_corners: bool) -> NDArray[np.float32]:
    """Return a photo as the graph takes it: (1, 3, H, W), at the network's working size."""
    image = read_photo(photo).image
    pixels = resize_photo(image, network_input_size(card, align_corners, image.size)).numpy()
    if card.microscopy:
        pixels = stretch_contrast(torch.from_numpy(pixels), contrast_range(np.asarray(image))).numpy()
    mean, std = (np.array(values, dtype=np.float32) for values in (card.mean, card.std))
    normalised: NDArray[np.float32] = ((pixels - mean) / std).transpose(2, 0, 1)[None]
    return normalised
