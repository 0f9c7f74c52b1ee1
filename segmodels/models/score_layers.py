"""FCN's idea reduced to one layer: a 1x1 convolution scores each feature map, and the scores are summed (section 4.2).

Instead of learned upsampling, coarse scores are interpolated to the finest map. A 1x1 convolution and an interpolation
can be swapped, so this is one linear layer on the interpolated maps side by side. Such a layer can be solved for
directly, where other decoders have to be trained.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import resize_logits


class ScoreLayers(nn.Module):
    """Scores of the feature maps at ``strides``, summed at the finest of them: (N, num_classes, h, w).

    Args:
        in_channels: the channels of all of the backbone's maps, from fine to coarse.
        known: the strides of these maps.
        strides: the strides to score.
        num_classes: the number of classes.
        align_corners: where the cells of the maps lie, see ``segmodels.models.layers``.

    Raises:
        ValueError: if ``strides`` is empty, has a stride twice, or one that the backbone does not have.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        known: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_strides(strides, known)
        self.align_corners = align_corners
        self.strides = tuple(sorted(strides, reverse=True))
        self.levels = [known.index(stride) for stride in self.strides]
        self.scores = nn.ModuleList(
            nn.Conv2d(in_channels[level], num_classes, 1, bias=stride == min(self.strides))
            for stride, level in zip(self.strides, self.levels, strict=True)
        )

    def joined(self, features: Sequence[Tensor]) -> Tensor:
        """Interpolate the scored maps to the finest one and concatenate them.

        Args:
            features: all of the backbone's maps, from fine to coarse.

        Returns:
            float32, (N, channels, h, w).
        """
        maps = [features[level].float() for level in self.levels]
        size = (maps[-1].shape[-2], maps[-1].shape[-1])
        return torch.cat([resize_logits(map_, size, self.align_corners) for map_ in maps], dim=1)

    def put(self, weight: Tensor, bias: Tensor) -> None:
        """Take over the weights of one linear layer on what ``joined`` returns.

        Args:
            weight: (num_classes, channels).
            bias: (num_classes,).
        """
        with torch.no_grad():
            for conv, columns in zip(self._convs(), weight.split(self._widths(), dim=1), strict=True):
                conv.weight.copy_(columns[..., None, None])
                if conv.bias is not None:
                    conv.bias.copy_(bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        scores = [conv(features[level]).float() for conv, level in zip(self._convs(), self.levels, strict=True)]
        size = (scores[-1].shape[-2], scores[-1].shape[-1])
        return torch.stack([resize_logits(score, size, self.align_corners) for score in scores]).sum(0)

    def _convs(self) -> list[nn.Conv2d]:
        return [conv for conv in self.scores if isinstance(conv, nn.Conv2d)]

    def _widths(self) -> list[int]:
        return [conv.in_channels for conv in self._convs()]


def check_strides(strides: Sequence[int], known: Sequence[int]) -> None:
    """Raise ValueError unless ``strides`` are one or more of ``known``, each once."""
    for stride in strides:
        if isinstance(stride, bool) or stride not in known:
            there_are = ", ".join(map(str, sorted(known, reverse=True)))
            raise ValueError(f"this backbone has no features at stride {str(stride)[:40]}, only at {there_are}")
    if not strides or len(set(strides)) != len(strides):
        raise ValueError("the strides must be one or more, each once")
