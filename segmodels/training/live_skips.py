"""Train the two skips of an FCN from nothing while somebody watches: a dozen photos, no labels, seconds.

What is coarse stays as it is: the backbone, and the scores at stride 32. The layers of strides 16 and 8 begin with random
weights, and their last ones with zeros, so that the first answer is that of stride 32. A teacher's answer at stride 8 says what they should add up to (Hinton et al. 2015, arXiv 1503.02531: soft targets).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from ..inference.result import Features
from ..inference.segmenter import Segmenter
from ..models.fcn import SKIP_WIDTH, FCNDecoder, skip_scores
from ..models.layers import resize_logits

STRIDES = (16, 8)
SIZE = (385, 289)
"""(width, height) to which photos are cut and resized, so that they go through the skips together: multiples of 32 plus 1."""
STEPS = 100
"""After so many the loss hardly falls any more."""
BATCH = 4
LEARNING_RATE = 3e-3
WINDOW = 0.7
"""The sides of a window, as parts of the photo's."""
WINDOWS = ((0, 0), (1, 0), (0.5, 1))
"""Where they lie, from the left and the top to the right and the bottom: a photo and its windows are four to learn from."""


@dataclass(frozen=True)
class SkipInputs:
    """What the skips of an FCN start from: float32, a photo or several of one size."""

    scores: Tensor
    """(N, C, h, w), those at stride 32."""
    maps: dict[int, Tensor]
    """(N, channels, h, w), the feature maps at ``STRIDES``."""

    @classmethod
    def of(cls, fcn: Segmenter, features: Features) -> "SkipInputs":
        """Read them off what the backbone of ``fcn`` saw."""
        maps = fcn.feature_maps(features)
        with fcn.exclusive() as network, torch.inference_mode():
            decoder = network.decoder
            assert isinstance(decoder, FCNDecoder)
            scores = decoder.all_strides(maps)[32]
            levels = dict(zip(decoder.strides, decoder.levels, strict=True))
            found = {stride: maps[levels[stride]] for stride in STRIDES}
        return cls(_plain(scores), {stride: _plain(map_) for stride, map_ in found.items()})


@dataclass(frozen=True)
class Lesson:
    """A photo to learn from."""

    inputs: SkipInputs
    target: Tensor
    """(1, C, h, w): the teacher's probabilities at stride 8."""

    @classmethod
    def all_of(cls, fcn: Segmenter, teacher: Segmenter, photo: Image.Image) -> list["Lesson"]:
        """Show a photo and its ``WINDOWS`` to both networks."""
        width, height = (round(WINDOW * side) for side in photo.size)
        corners = [(round(x * (photo.width - width)), round(y * (photo.height - height))) for x, y in WINDOWS]
        windows = [photo.crop((left, top, left + width, top + height)) for left, top in corners]
        return [cls.of(fcn, teacher, each) for each in (photo, *windows)]

    @classmethod
    def of(cls, fcn: Segmenter, teacher: Segmenter, photo: Image.Image) -> "Lesson":
        """Show the middle of a photo to both networks."""
        middle = ImageOps.fit(photo, SIZE, Image.Resampling.BILINEAR)
        inputs = SkipInputs.of(fcn, fcn.encode(middle, working_size=max(SIZE)))
        scores = teacher.logits(teacher.encode(middle, STRIDES[-1], max(SIZE)))
        return cls(inputs, _plain(scores[None]).softmax(1))

    @property
    def nbytes(self) -> int:
        """What it takes."""
        maps = self.inputs.maps.values()
        return self.target.nbytes + self.inputs.scores.nbytes + sum(map_.nbytes for map_ in maps)


def _plain(values: Tensor) -> Tensor:
    """A float32 copy on the processor that autograd may use."""
    with torch.inference_mode(False):
        return values.to("cpu", torch.float32, copy=True).clone()


class SkipTraining:
    """The two skips on their way.

    Args:
        lessons: the photos to learn from.
        seed: of the random weights, and of the order of the photos.
    """

    def __init__(self, lessons: Sequence[Lesson], seed: int) -> None:
        self._lessons = lessons
        self._order = torch.Generator().manual_seed(seed)
        first = lessons[0].inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._skips = nn.ModuleDict(
                {
                    str(stride): skip_scores(map_.shape[1], first.scores.shape[1], SKIP_WIDTH)
                    for stride, map_ in first.maps.items()
                }
            )
        for module in self._skips.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean of all steps, so that a few are enough
            elif isinstance(module, nn.Conv2d) and module.bias is not None:  # the scores: as in the paper, section 4.2
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        self._optimizer = torch.optim.AdamW(self._skips.parameters(), LEARNING_RATE)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, LEARNING_RATE, total_steps=STEPS)
        self.losses: list[float] = []
        """Of each step: how far the answer at stride 8 is from the teacher's (Kullback-Leibler divergence, nats a cell)."""

    @property
    def done(self) -> bool:
        """Whether all ``STEPS`` are made."""
        return len(self.losses) == STEPS

    def step(self) -> None:
        """Make one step on ``BATCH`` photos, some of them mirrored."""
        drawn = torch.randperm(len(self._lessons), generator=self._order)[:BATCH].tolist()
        lessons = [self._lessons[index] for index in drawn]
        target = torch.cat([lesson.target for lesson in lessons])
        scores = torch.cat([lesson.inputs.scores for lesson in lessons])
        maps = {stride: torch.cat([lesson.inputs.maps[stride] for lesson in lessons]) for stride in STRIDES}
        if torch.rand((), generator=self._order) < 0.5:
            target, scores = target.flip(-1), scores.flip(-1)
            maps = {stride: map_.flip(-1) for stride, map_ in maps.items()}
        self._skips.train()
        with torch.inference_mode(False), torch.enable_grad():
            found = self._predictions(SkipInputs(scores, maps))
            on_the_way = nn.functional.cross_entropy(found[16], target[..., ::2, ::2])
            loss = nn.functional.cross_entropy(found[8], target) + 0.5 * on_the_way
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
        divergence = nn.functional.kl_div(found[8].detach().log_softmax(1), target, reduction="none").sum(1).mean()
        self.losses.append(float(divergence))

    def logits(self, inputs: SkipInputs) -> Tensor:
        """Return the answer at stride 8 to one photo: (C, h, w)."""
        self._skips.eval()
        with torch.inference_mode():
            return self._predictions(inputs)[8][0]

    def _predictions(self, inputs: SkipInputs) -> dict[int, Tensor]:
        """FCN-16s' and FCN-8s' logits: the coarser ones interpolated, plus the scores of the skip."""
        logits, found = inputs.scores, {}
        for stride, map_ in inputs.maps.items():
            logits = resize_logits(logits, (map_.shape[2], map_.shape[3]), True) + self._skips[str(stride)](map_)
            found[stride] = logits
        return found
