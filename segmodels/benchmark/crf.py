"""How fast the fully connected CRF is, beside the plain way of the paper at every pixel and the authors' own code.

All three are given the same probabilities of the same photo. The authors' code is measured where its Python binding is
installed: ``pip install pydensecrf2``, which needs a C++ compiler.
"""

import importlib
import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..checkpoints.paths import EXAMPLES
from ..crf.mean_field import SampledPhoto
from ..crf.parameters import CRF, REFERENCE_SIDE
from ..inference.crf_label_map import CRFAnswer
from ..inference.label_map import upsample_logits
from ..inference.loading import load
from ..models import registry

PHOTO = "raft.jpg"
SIZE = (513, 385)
"""(width, height) in pixels."""

MEGAPIXEL = (1155, 866)
"""(width, height) of a photo as a visitor may drop it in."""

RATES = (6, 12)
"""Atrous rates that are asked for one after the other."""

AUTHORS = "pydensecrf.densecrf"
"""The Python binding of the code by the authors of arXiv 1210.5644."""

LEAST = 0.05
"""Of the classes, those count that are given more than this somewhere."""

SMALLEST = 1e-5
"""Smaller probabilities are taken for this one, whose logarithm is finite."""


class PlainLattice:
    """The permutohedral lattice of (N, d) points as papers write it down: splat and slice as sparse matrices.

    Every point counts. ``segmodels.crf.lattice`` says what the steps are.
    """

    def __init__(self, points: Tensor) -> None:
        count, d = points.shape
        axis = torch.arange(1, d + 1)
        scaled = points * (math.sqrt(2 / 3) * (d + 1) / torch.sqrt(axis * (axis + 1.0)))
        matrix = torch.triu(torch.ones(d + 1, d), 0)
        matrix[axis, axis - 1] = -axis.float()
        elevated = scaled @ matrix.T
        quotients = torch.round(elevated / (d + 1)).long()
        ranks = (elevated - (d + 1) * quotients).argsort(1, descending=True).argsort(1) + quotients.sum(1, keepdim=True)
        wrapped = (ranks < 0).long() - (ranks > d).long()
        quotients, ranks = quotients + wrapped, ranks + (d + 1) * wrapped
        above = torch.empty_like(elevated).scatter_(1, ranks, elevated / (d + 1) - quotients)
        weights = torch.cat([1 - above[:, :1] + above[:, -1:], (above[:, :-1] - above[:, 1:]).flip(1)], 1)
        least = quotients.amin(0) - 3
        spans = quotients.amax(0) - least + 3
        factors = torch.cat([torch.ones(1, dtype=torch.long), spans[:-2].cumprod(0)]) * (d + 1)
        corners = torch.stack([self._corner(quotients - least, ranks, factors, k) for k in range(d + 1)], 1)
        keys, index = torch.unique(corners, return_inverse=True)
        last = keys % (d + 1) == d
        ahead = keys + torch.where(last, factors.sum() - d, 1)
        steps = torch.cat([factors, torch.zeros(1, dtype=torch.long)])
        self._ahead = [self._places(keys, ahead - step) for step in steps]
        behind = keys - torch.where(keys % (d + 1) == 0, factors.sum() - d, 1)
        self._behind = [self._places(keys, behind + step) for step in steps]
        offsets = torch.arange(0, count * (d + 1) + 1, d + 1)
        self._slice = torch.sparse_csr_tensor(offsets, index.ravel(), weights.ravel(), (count, len(keys)))
        order = index.ravel().argsort()
        starts = torch.cat([torch.zeros(1, dtype=torch.long), index.ravel().bincount(minlength=len(keys)).cumsum(0)])
        self._splat = torch.sparse_csr_tensor(starts, order // (d + 1), weights.ravel()[order], (len(keys), count))
        self._norm = self._filtered(torch.ones(count, 1)).rsqrt()

    @staticmethod
    def _corner(quotients: Tensor, ranks: Tensor, factors: Tensor, remainder: int) -> Tensor:
        lowered = quotients - (ranks > len(factors) - remainder).long()
        return (lowered[:, :-1] * factors).sum(1) + remainder

    @staticmethod
    def _places(keys: Tensor, wanted: Tensor) -> Tensor:
        places = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return torch.where(keys[places] == wanted, places, len(keys))

    def _filtered(self, values: Tensor) -> Tensor:
        vertices = self._splat @ values
        for ahead, behind in zip(self._ahead, self._behind, strict=True):
            framed = torch.cat([vertices, vertices.new_zeros(1, vertices.shape[1])])
            vertices = vertices + 0.5 * (framed[ahead] + framed[behind])
        return self._slice @ vertices

    def filter(self, values: Tensor) -> Tensor:
        """The Gaussian filter of (N, C) values, symmetrically normalised."""
        return self._norm * self._filtered(self._norm * values)


def plain_way(pixels: Tensor, probabilities: Tensor, crf: CRF) -> NDArray[np.int64]:
    """The best of (C, H, W) probabilities of an (H, W, 3) photo after mean field at every pixel."""
    classes, height, width = probabilities.shape
    scale = REFERENCE_SIDE / max(height, width)
    rows, columns = torch.meshgrid(torch.arange(height) * scale, torch.arange(width) * scale, indexing="ij")
    place = torch.stack([rows.ravel(), columns.ravel()], 1)
    lattice = PlainLattice(torch.cat([place / crf.theta_alpha, pixels.reshape(-1, 3) / crf.theta_beta], 1))
    sigma = crf.theta_gamma / scale
    radius = math.ceil(3 * sigma)
    kernel = (-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2).exp()

    def smooth(q: Tensor) -> Tensor:
        maps = q.T.reshape(-1, 1, height, width)
        for shape, padding in (((-1, 1), (radius, 0)), ((1, -1), (0, radius))):
            maps = torch.nn.functional.conv2d(maps, kernel.view(1, 1, *shape), padding=padding)
        return maps.reshape(-1, height * width).T

    sums = smooth(torch.ones(height * width, 1))
    unary = probabilities.clamp(SMALLEST, 1).log().reshape(classes, -1).T
    q = unary.softmax(1)
    for _ in range(crf.iterations):
        q = (unary + crf.w1 * lattice.filter(q) + crf.w2 * smooth(q) / sums).softmax(1)
    return q.argmax(1).view(height, width).numpy()


def authors_way() -> Callable[[Tensor, Tensor, CRF], NDArray[np.int64]] | None:
    """The same by the authors' code; None where its binding is not installed."""
    try:
        densecrf = importlib.import_module(AUTHORS)
    except ImportError:
        return None

    def run(pixels: Tensor, probabilities: Tensor, crf: CRF) -> NDArray[np.int64]:
        classes, height, width = probabilities.shape
        scale = max(height, width) / REFERENCE_SIDE
        field = densecrf.DenseCRF2D(width, height, classes)
        field.setUnaryEnergy(np.ascontiguousarray(-probabilities.clamp(SMALLEST, 1).log().reshape(classes, -1).numpy()))
        field.addPairwiseGaussian(sxy=crf.theta_gamma * scale, compat=crf.w2)
        rgb = np.ascontiguousarray(pixels.numpy())
        field.addPairwiseBilateral(sxy=crf.theta_alpha * scale, srgb=crf.theta_beta, rgbim=rgb, compat=crf.w1)
        labels: NDArray[np.int64] = np.argmax(field.inference(crf.iterations), 0).reshape(height, width)
        return labels

    return run


def our_way(pixels: Tensor, probabilities: Tensor, crf: CRF) -> NDArray[np.int64]:
    """The same as a Segmenter has it: mean field at a sample of the pixels, edges at every one."""
    answer = CRFAnswer.of(probabilities.clamp(SMALLEST, 1).log(), SampledPhoto.of(pixels, crf), crf, None)
    return answer.label_map((pixels.shape[0], pixels.shape[1]), Image.fromarray(pixels.numpy())).astype(np.int64)


def photo_and_probabilities(quick: bool = False) -> tuple[Tensor, Tensor]:
    """The photo, (H, W, 3), and a network's probabilities of the classes that matter in it, (C, H, W)."""
    size = (129, 97) if quick else SIZE
    photo = Image.open(EXAMPLES / PHOTO).convert("RGB").resize(size)
    segmenter = load(registry.DEFAULT_MODEL, precision="float32")
    features = segmenter.encode(photo)
    logits = segmenter.logits(features)
    probabilities = upsample_logits(logits, size[::-1], features.aligned_size).softmax(0)
    probabilities = probabilities[probabilities.flatten(1).amax(1) > LEAST]
    return torch.from_numpy(np.array(photo)), probabilities / probabilities.sum(0)


def iterations_alone(pixels: Tensor, probabilities: Tensor, crf: CRF) -> Callable[[], object]:
    """What a moved atrous rate costs: mean field and the label map, with the lattice of the photo at hand."""
    sampled, photo = SampledPhoto.of(pixels, crf), Image.fromarray(pixels.numpy())
    scores = probabilities.clamp(SMALLEST, 1).log()
    size = (pixels.shape[0], pixels.shape[1])
    return lambda: CRFAnswer.of(scores, sampled, crf, None).label_map(size, photo)


def new_and_moved(turns: int, quick: bool = False) -> tuple[float, float]:
    """What the CRF adds to a photo of a megapixel that is new, and to its atrous rate moved: medians of milliseconds."""
    segmenter = load("deeplabv3plus_mobilenetv2")
    photo = Image.open(EXAMPLES / PHOTO).convert("RGB").resize((160, 120) if quick else MEGAPIXEL)
    times = []
    for _ in range(turns + 1):
        features = segmenter.encode(photo)
        times.append([segmenter.decode(features, rate, crf=True, photo=photo).milliseconds["crf"] for rate in RATES])
    new, moved = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return new, moved
