"""A small zoo of segmentation networks: FCN, U-Net and DeepLab on one backbone, with weights to compare them by.

>>> import segmodels
>>> segmenter = segmodels.load("deeplabv3plus_mobilenetv2")
>>> result = segmenter(photo, atrous_rate=6)
>>> result.shares
{'background': 0.69, 'cat': 0.31}
"""

__version__ = "0.1.0"

from .kernels import openmp as _openmp  # noqa: F401 # isort: skip - before torch is loaded
from .inference.loading import load
from .inference.photo import PhotoError, open_stack, read_photo
from .inference.result import Features, Segmentation
from .inference.segmenter import Segmenter
from .models.card import Card
from .models.registry import build, card, list_models, trained_models
from .teaching.fit_head import fit_head

__all__ = [
    "Card",
    "Features",
    "PhotoError",
    "Segmentation",
    "Segmenter",
    "__version__",
    "build",
    "card",
    "fit_head",
    "list_models",
    "load",
    "open_stack",
    "read_photo",
    "trained_models",
]
