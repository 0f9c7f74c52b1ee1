"""Switch off parts of a network, to see what each part does.

A disabled part passes zeros to the next layer. The rest stays as trained: no layer is skipped, and nothing is rescaled.
Zero is what a ReLU outputs where it detects nothing, so to the next layer a disabled branch or skip looks as if it had
found nothing anywhere.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .base import SegmentationNetwork
from .deeplab import DeepLabV3PlusDecoder
from .fcn import FCNDecoder
from .heads import ASPP
from .unet import UNetDecoder


@dataclass(frozen=True)
class Part:
    """Something that a decoder adds or concatenates and can do without."""

    name: str
    """As in the papers; ``r`` stands for the atrous rate that is set."""
    zeroed: str
    """What becomes zero while it is off: a phrase."""
    disable: Callable[[], Any]
    """Puts the hook on the network that zeroes it, and returns the hook's handle."""


def parts(network: SegmentationNetwork) -> dict[str, Part]:
    """Return the parts of ``network`` that can be switched off, in the order in which they are joined.

    - ASPP: the branches ``1x1``, ``rate r``, ``rate 2r``, ``rate 3r`` and ``image pooling``, each zeroed after its ReLU
      and before the concatenation. FCN and U-Net on MobileNet v2 have the first and the last of these in their head.
    - DeepLab v3+: also ``low-level path``, after the ReLU of its 1x1 convolution.
    - U-Net: ``skip 16`` and so on by stride, where the skip enters the concatenation, after its batch norm if it has
      one.
    - FCN: ``score 8`` and so on by stride, the scores that are added.

    Args:
        network: any network of the zoo.

    Returns:
        The parts by name; empty if the network has none.
    """
    decoder = network.decoder
    found: list[Part] = []
    for aspp in decoder.modules():
        if isinstance(aspp, ASPP):
            found += _aspp_parts(aspp)
    if isinstance(decoder, DeepLabV3PlusDecoder):
        zeroed = (
            "the low-level features at stride 4, behind their 1x1 convolution and its ReLU, before the concatenation"
        )
        found.append(_output_part("low-level path", zeroed, decoder.low_level))
    if isinstance(decoder, UNetDecoder):
        found += _skips(decoder, network.backbone.output_stride)
    if isinstance(decoder, FCNDecoder):
        for stride, score in decoder.skip_scores.items():
            zeroed = f"the scores of the features at stride {stride}, before they are added"
            found.append(_output_part(f"score {stride}", zeroed, score))
    return {part.name: part for part in found}


@contextmanager
def disabled_parts(network: SegmentationNetwork, names: Collection[str]) -> Iterator[None]:
    """Disable the parts called ``names`` while the context is entered. The weights do not change.

    This changes the network itself, so only one thread may do it at a time; ``Segmenter.logits`` takes care of that.

    Args:
        network: the network to change.
        names: names of ``parts(network)``.

    Raises:
        ValueError: for a name that is not a part of this network.
    """
    known = parts(network)
    with ExitStack() as hooks:
        for name in dict.fromkeys(names):
            if name not in known:
                raise ValueError(
                    f"there is no part called {str(name)[:40]!r} here; there are: {', '.join(known) or 'none'}"
                )
            hooks.enter_context(known[name].disable())
        yield


def _aspp_parts(aspp: ASPP) -> list[Part]:
    first, *atrous, pooling = aspp.convs
    rates = ["rate r", *(f"rate {factor}r" for factor in range(2, len(atrous) + 1))][: len(atrous)]
    where = "behind its ReLU, before the concatenation"
    whose = "the ASPP's" if atrous else "the head's"
    return [
        _output_part("1x1", f"the output of {whose} 1x1 convolution, {where}", first),
        *(
            _output_part(name, f"the output of the ASPP's 3x3 convolution at {name}, {where}", branch)
            for name, branch in zip(rates, atrous, strict=True)
        ),
        _output_part(
            "image pooling", "the pooled features, spread over the map again, before the concatenation", pooling
        ),
    ]


def _output_part(name: str, zeroed: str, module: nn.Module) -> Part:
    """A part that is all that ``module`` gives."""
    return Part(name, zeroed, lambda: module.register_forward_hook(lambda _, inputs, output: _zeros(output)))


def _skips(decoder: UNetDecoder, output_stride: int) -> list[Part]:
    """The second inputs of the blocks, each of which works at half the stride of the one before."""

    def skip(stride: int, block: nn.Module) -> Part:
        zeroed = f"the features at stride {stride}, as they enter the concatenation with what comes up from below"
        return Part(
            f"skip {stride}",
            zeroed,
            lambda: block.register_forward_pre_hook(lambda _, inputs: (inputs[0], _zeros(inputs[1]))),
        )

    return [skip(output_stride >> step, block) for step, block in enumerate(decoder.blocks, start=1)]


def _zeros(x: Tensor) -> Tensor:
    """Not ``zeros_like``, which to a tracer of what depends on what would still depend on ``x``."""
    return torch.zeros(x.shape, dtype=x.dtype, device=x.device)
