"""Train a decoder on the cached features of a frozen backbone, taught by labels and by the public network's soft scores.

One recipe for the four compact networks. The public network has seen many more photos than there are here, so its soft
scores teach on every photo what is there. Labels teach where the edges run: they count where the public network sees
their class in the same cell or in a neighbouring one, and more within some pixels of an edge.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..labels import VOID
from ..models.base import SegmentationNetwork
from ..models.deeplab import DeepLabV3Decoder, DeepLabV3PlusDecoder
from ..models.fcn import FCNDecoder
from ..models.layers import resize_logits
from ..models.unet import UNetDecoder
from .cached_features import STRIDES, CachedFeatures
from .data import sampling_weights

SCORES = 5
"""The index of the public network's scores among cached maps."""

LABEL_STRIDE = 4
"""Logits coarser than this are interpolated to it before they are compared with labels."""

EDGE_RADIUS = 8
"""Pixels on either side of an edge in the label map that count as near it."""

EDGE_STRIDE = 2
"""The stride at which edges are looked for."""


@dataclass(frozen=True)
class DecoderRecipe:
    """The settings of a run."""

    steps: int = 1500
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    most_often: float = 4.0
    """How many times as often as others a photo with a thin class is drawn."""
    unlabelled: float = 0.6
    """How often a photo without labels is drawn, a labelled one being 1."""
    edge_weight: float = 3.0
    """What a pixel near an edge counts more, a pixel elsewhere being 1."""
    coarse_weight: float = 0.3
    """What a prediction on the way counts, the network's own being 1."""
    moved: int = 2
    """Cells at stride 4 by which DeepLab v3+'s coarse map is moved at most, so that finer maps must say where edges are;
    half as many in U-Net, before each of its two finest steps."""
    window: int = 13
    """Cells at stride 16, along each side, of the window in which maps finer than stride 8 are decoded."""
    seed: int = 0


@dataclass(frozen=True)
class Window:
    """A part of a photo: cells at stride 16, first row and column, how many rows and columns."""

    row: int
    column: int
    rows: int
    columns: int

    def cut(self, map_: Tensor, stride: int) -> Tensor:
        """Return the part of a (..., h, w) map of ``stride``, whose cells lie on corners, that lies in the window."""
        factor = 16 // stride
        rows = slice(self.row * factor, (self.row + self.rows - 1) * factor + 1)
        columns = slice(self.column * factor, (self.column + self.columns - 1) * factor + 1)
        return map_[..., rows, columns]


@dataclass(frozen=True)
class Prediction:
    """Logits that are supervised."""

    logits: Tensor
    stride: int | None
    """None for that of the deepest map."""
    weight: float
    window: Window | None = None
    """The part of the photo that they are of; all of it if None."""


@dataclass(frozen=True)
class Targets:
    """What a batch of photos is to be learned from, whole or in a window."""

    scores: Tensor
    """(N, C, h, w) probabilities of the public network."""
    stride: int
    """Their stride."""
    class_weights: Tensor
    """(1, C, 1, 1): rare classes count more."""
    labels: Tensor | None
    """(N, H, W) uint8, 255 where a label does not count."""
    near_edge: Tensor | None
    """(N, H / 2, W / 2): 1 near an edge of the label maps, else 0."""

    def within(self, window: Window | None) -> "Targets":
        """Return the part in ``window``."""
        if window is None:
            return self
        return Targets(
            window.cut(self.scores, self.stride),
            self.stride,
            self.class_weights,
            None if self.labels is None else window.cut(self.labels, 1),
            None if self.near_edge is None else window.cut(self.near_edge, EDGE_STRIDE),
        )


def begin(network: SegmentationNetwork, public: SegmentationNetwork) -> None:
    """Give ``network`` the public network's backbone; FCN and U-Net also get its head and scores.

    U-Net's own scores begin at zero: its first answer is the head's. What it gets is frozen, and so is FCN's upsampling, which stays bilinear: without its skips FCN-8s is FCN-32s.
    """
    taken: list[tuple[nn.Module, nn.Module]] = [(cast(nn.Module, network.backbone), cast(nn.Module, public.backbone))]
    decoder, source = network.decoder, cast(DeepLabV3Decoder, public.decoder)
    if isinstance(decoder, FCNDecoder):
        taken += [(decoder.head, source.aspp), (decoder.score, source.classifier)]
        decoder.upsamples.requires_grad_(False)
    if isinstance(decoder, UNetDecoder):
        assert decoder.score is not None
        taken += [(decoder.bottom, source.aspp), (decoder.score, source.classifier)]
        for head in decoder.heads():
            for parameter in head.parameters():
                nn.init.zeros_(parameter)
    for module, theirs in taken:
        module.load_state_dict(theirs.state_dict())
        module.requires_grad_(False)


def take_pyramid(network: SegmentationNetwork, other: SegmentationNetwork) -> None:
    """Give DeepLab v3+ the ASPP and the scores of a DeepLab v3, frozen: its first answer is v3's."""
    decoder, source = cast(DeepLabV3PlusDecoder, network.decoder), cast(DeepLabV3Decoder, other.decoder)
    assert decoder.score is not None
    for module, theirs in ((decoder.aspp, source.aspp), (decoder.score, source.classifier)):
        module.load_state_dict(theirs.state_dict())
        module.requires_grad_(False)
    for parameter in decoder.classifier.parameters():
        nn.init.zeros_(parameter)


def train_mode(decoder: nn.Module) -> None:
    """Put ``decoder`` into training mode, but for its frozen modules, whose batch norms keep their statistics."""
    decoder.train()
    for module in decoder.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def levels_of(decoder: nn.Module) -> tuple[int, ...]:
    """Return which of the backbone's maps, 0 to 4 from fine to coarse, ``decoder`` reads."""
    if isinstance(decoder, FCNDecoder):
        return tuple(level % 5 for level in decoder.levels)
    if isinstance(decoder, UNetDecoder):
        return (*decoder.levels, 4)
    return (decoder.LOW_LEVEL_INDEX, 4) if isinstance(decoder, DeepLabV3PlusDecoder) else (4,)


def predictions(decoder: nn.Module, maps: list[Tensor], recipe: DecoderRecipe, window: Window) -> list[Prediction]:
    """Return what ``decoder`` predicts from ``maps``, on the way and at the end.

    Maps finer than stride 8 are many times larger than the others and are decoded in ``window`` alone. What is coarser
    sees the whole photo, as it does when it is used.
    """
    if isinstance(decoder, FCNDecoder):
        finer = list(decoder.all_strides(maps).items())[1:]
        weights = [recipe.coarse_weight] * (len(finer) - 1) + [1.0]
        return [Prediction(logits, stride, weight) for (stride, logits), weight in zip(finer, weights, strict=True)]
    if isinstance(decoder, UNetDecoder):
        return _unet_predictions(decoder, maps, recipe, window)
    if isinstance(decoder, DeepLabV3PlusDecoder):
        fine = decoder.low_level(window.cut(maps[decoder.LOW_LEVEL_INDEX], 4))
        coarse = window.cut(decoder.aspp(maps[-1]), 16)
        raised = resize_logits(coarse, (fine.shape[-2], fine.shape[-1]), align_corners=True)
        logits = decoder.join(moved_a_little(raised, recipe.moved), fine)
        return [Prediction(logits, 4, 1.0, window)]
    return [Prediction(decoder(maps), None, 1.0)]


def _unet_predictions(
    decoder: UNetDecoder, maps: list[Tensor], recipe: DecoderRecipe, window: Window
) -> list[Prediction]:
    assert decoder.norms is not None
    assert decoder.score is not None
    x: Tensor = decoder.bottom(maps[-1])
    scores = decoder.score(x)
    found: list[Prediction] = []
    for block, norm, level, head in zip(decoder.blocks, decoder.norms, decoder.levels, decoder.heads(), strict=True):
        stride = STRIDES[level]
        inside = window if stride < 8 else None
        skip = maps[level]
        raised = resize_logits(scores, (skip.shape[-2], skip.shape[-1]), align_corners=True)
        if inside is not None:
            skip, raised = inside.cut(skip, stride), inside.cut(raised, stride)
            x = x if found[-1].window is not None else inside.cut(x, 8)
            x = moved_a_little(x, recipe.moved // 2)
        x = block(x, norm(skip))
        weight = 1.0 if head is decoder.classifier else recipe.coarse_weight * (0.5 if stride == 16 else 1.0)
        found.append(Prediction(raised + head(x), stride, weight, inside))
    return found


def prediction_loss(prediction: Prediction, targets: Targets, recipe: DecoderRecipe) -> Tensor:
    """Return how far ``prediction`` is from the soft scores and, where there are labels, from these too."""
    targets = targets.within(prediction.window)
    stride = prediction.stride or targets.stride
    step = max(targets.stride // stride, 1)
    log_probabilities = prediction.logits[..., ::step, ::step].log_softmax(1)
    soft = -(targets.scores * targets.class_weights * log_probabilities).sum(1).mean()
    if targets.labels is None or targets.near_edge is None:
        return prediction.weight * soft
    label_loss = _label_loss(prediction.logits, targets, min(stride, LABEL_STRIDE), recipe.edge_weight)
    return prediction.weight * (0.5 * soft + label_loss)


def _label_loss(logits: Tensor, targets: Targets, stride: int, edge_weight: float) -> Tensor:
    """Cross entropy at every ``stride``-th pixel, those near an edge counting more."""
    assert targets.labels is not None
    assert targets.near_edge is not None
    labels = targets.labels[:, ::stride, ::stride].long()
    near_edge = targets.near_edge[:, :: stride // EDGE_STRIDE, :: stride // EDGE_STRIDE]
    weight = (labels != VOID) * (1 + edge_weight * near_edge)
    logits = nn.functional.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=True)
    loss = nn.functional.cross_entropy(logits, labels, ignore_index=VOID, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def targets_of(scores: Tensor, labels: Tensor | None, stride: int) -> Targets:
    """Return what (N, C, h, w) ``scores`` of the public network at ``stride`` and (N, H, W) ``labels`` teach.

    A label counts where the public network sees its class in the same cell or in one of its eight neighbours. Classes
    count more the rarer they are in the batch, by the root of their share.
    """
    probabilities = scores.softmax(1)
    rare = 1 / (probabilities.mean((0, 2, 3), keepdim=True) + 0.02).sqrt()
    class_weights = rare / (probabilities * rare).sum(1).mean()
    if labels is None:
        return Targets(probabilities, stride, class_weights, None, None)
    return Targets(probabilities, stride, class_weights, trusted(labels, scores, stride), near_edges(labels))


def trusted(labels: Tensor, scores: Tensor, stride: int) -> Tensor:
    """Return (N, H, W) ``labels``, void where no cell near by of the (N, C, h, w) ``scores`` has their class."""
    classes = scores.shape[1]
    seen = nn.functional.one_hot(scores.argmax(1), classes).movedim(-1, 1).to(torch.uint8)
    near = nn.functional.max_pool2d(seen.float(), 3, stride=1, padding=1).to(torch.uint8)
    rows, columns = (
        (torch.arange(pixels) / stride).round().long().clamp(max=cells - 1)
        for pixels, cells in zip(labels.shape[-2:], scores.shape[-2:], strict=True)
    )
    known = labels.long().clamp(max=classes - 1)
    photos = torch.arange(len(labels))[:, None, None]
    sees = near[photos, known, rows[None, :, None], columns[None, None]] > 0
    return torch.where(sees, labels, torch.full_like(labels, VOID))


def near_edges(labels: Tensor, radius: int = EDGE_RADIUS) -> Tensor:
    """Return (N, H / 2, W / 2) floats: 1 within ``radius`` pixels of where (N, H, W) ``labels`` change, else 0."""
    coarse = labels[:, ::EDGE_STRIDE, ::EDGE_STRIDE].float()[:, None]
    framed = nn.functional.pad(coarse, (1, 1, 1, 1), mode="replicate")
    changes = nn.functional.max_pool2d(framed, 3, 1) != -nn.functional.max_pool2d(-framed, 3, 1)
    size = 2 * (radius // EDGE_STRIDE - 1) + 1
    return nn.functional.max_pool2d(changes.float(), size, 1, size // 2)[:, 0]


def moved_a_little(map_: Tensor, cells: int) -> Tensor:
    """Return an (N, C, h, w) map, each photo's moved by up to so many ``cells`` along each side; its border is repeated."""
    rows, columns = map_.shape[-2:]
    framed = nn.functional.pad(map_, (cells,) * 4, mode="replicate")
    starts = torch.randint(2 * cells + 1, (len(map_), 2)).tolist()
    return torch.stack(
        [photo[:, top : top + rows, left : left + columns] for photo, (top, left) in zip(framed, starts, strict=True)]
    )


class Draws:
    """Batches of photos of one size: those with rare classes more often, those without labels less."""

    def __init__(self, sources: Sequence[CachedFeatures], recipe: DecoderRecipe, num_classes: int) -> None:
        self.sources = sources
        self.recipe = recipe
        self.random = random.Random(recipe.seed)
        shown = [(source, entry.classes) for source in sources for entry in source.entries]
        presence = np.zeros((len(shown), num_classes), dtype=bool)
        for row, (_, classes) in zip(presence, shown, strict=True):
            row[list(classes)] = True
        factors = [1.0 if source.labelled else recipe.unlabelled for source, _ in shown]
        self.weights = sampling_weights(presence, recipe.most_often).numpy() * factors
        self.photos = [(source, index) for source in sources for index in range(len(source.entries))]
        self.sums = np.cumsum(self.weights)
        starts = np.cumsum([0, *(len(source.entries) for source in sources)])
        self.first = {id(source): int(start) for source, start in zip(sources, starts[:-1], strict=True)}

    def batch(self) -> tuple[CachedFeatures, list[int]]:
        """Return a source and the indices of its photos, all of one size."""
        chosen = int(np.searchsorted(self.sums, self.random.random() * self.sums[-1]))
        source, index = self.photos[chosen]
        alike = source.by_size[source.entries[index].size]
        weights = self.weights[[self.first[id(source)] + other for other in alike]]
        return source, [index, *self.random.choices(alike, weights.tolist(), k=self.recipe.batch - 1)]

    def window(self, size: tuple[int, int]) -> Window:
        """Return a window of the recipe's size somewhere in a map of ``size`` (rows, columns) at stride 16."""
        rows, columns = (min(self.recipe.window, cells) for cells in size)
        top, left = (
            self.random.randint(0, cells - some) // 2 * 2 for cells, some in zip(size, (rows, columns), strict=True)
        )
        return Window(top, left, rows, columns)


def train_decoder(
    network: SegmentationNetwork, sources: Sequence[CachedFeatures], recipe: DecoderRecipe, num_classes: int
) -> list[float]:
    """Train the decoder of ``network``, which is at the rate and stride at which it is to be used.

    Args:
        network: as ``begin`` leaves it.
        sources: cached features of the backbone at the stride of ``network``, or at half of it.
        recipe: the settings.
        num_classes: of the labels.

    Returns:
        The loss of every step.
    """
    torch.manual_seed(recipe.seed)
    decoder = network.decoder
    levels = (*levels_of(decoder), SCORES)
    draws = Draws(sources, recipe, num_classes)
    trained = [parameter for parameter in decoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    train_mode(decoder)
    losses = []
    for _ in tqdm(range(recipe.steps), mininterval=10):
        source, photos = draws.batch()
        *maps, scores = source.batch(photos, levels)
        if network.backbone.output_stride == 2 * source.output_stride:
            maps[-1] = maps[-1][:, :, ::2, ::2].contiguous()  # the cells that the stride would have kept
        targets = targets_of(scores, source.labels(photos) if source.labelled else None, source.output_stride)
        window = draws.window((scores.shape[-2], scores.shape[-1]))
        loss = torch.stack(
            [prediction_loss(each, targets, recipe) for each in predictions(decoder, maps, recipe, window)]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    decoder.eval()
    return losses
