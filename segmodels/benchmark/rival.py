"""torchvision's networks, run in its own way: what the zoo's are measured beside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..checkpoints.files import load_state, read_state
from ..inference.segmenter import Segmenter
from ..models import registry
from ..models import torchvision as published

RIVAL = "lraspp_mobilenet_v3_large"
"""torchvision's smallest segmentation network: what one would take for speed."""

Way = Callable[[Image.Image], NDArray[np.uint8]]
"""From a decoded photo to its label map."""


def torchvision_way(model: torch.nn.Module, size: tuple[int, int]) -> Way:
    """torchvision's documented way with a model: ToTensor, Normalize, ``model(x)["out"]``, argmax, resize of the mask.

    The photo is brought to ``size`` (width, height) first.
    """
    from torchvision.transforms import functional

    mean, std = ([value / 255 for value in registry.IMAGENET[key]] for key in ("mean", "std"))

    def run(photo: Image.Image) -> NDArray[np.uint8]:
        x = functional.to_tensor(photo.resize(size, Image.Resampling.BILINEAR))
        with torch.inference_mode():
            out = model(functional.normalize(x, mean, std)[None])["out"]
        mask = Image.fromarray(out.argmax(1)[0].byte().numpy())
        return np.asarray(mask.resize(photo.size, Image.Resampling.NEAREST))

    return run


def untrained(name: str) -> tuple[Segmenter, torch.nn.Module]:
    """torchvision's network called ``name``, and the same behind a Segmenter; with its weights if they are at hand."""
    theirs = torchvision_network(name)
    return Segmenter(same_weights(name, theirs), registry.card(name), "cpu"), theirs


def same_weights(name: str, theirs: torch.nn.Module) -> Any:
    """Return our network called ``name`` with the weights of torchvision's."""
    network = registry.build(name)
    load_state(network, published.translate(name, theirs.state_dict()))
    return network


def torchvision_network(name: str) -> torch.nn.Module:
    """torchvision's own network in eval mode: as published if the weights are at hand, else with random ones.

    Batch norms see a photo once, or the numbers would grow from layer to layer as they never do in a trained network.
    """
    from torchvision.models import get_model

    torch.manual_seed(0)
    options = {} if name == RIVAL else {"aux_loss": True}  # which published weights come with
    model = get_model(name, weights=None, weights_backbone=None, num_classes=21, **options)
    if name in registry.CARDS and registry.card(name).at_hand:
        model.load_state_dict(read_state(registry.card(name).weights_file()))
    else:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the plain mean
        with torch.no_grad():
            model.train()(torch.rand(2, 3, 128, 160))
    return model.eval()
