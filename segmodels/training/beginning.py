"""Decoders that begin where a published network stands: the same answer at every cell, and paths of their own to add to it.

FCN's paper starts its skips with zero scores, so that training begins with the coarse network's answer (section 4.2).
Here all four decoders do likewise, each in the way that its paths allow. What is new is random behind weights of zero;
where scores have to pass ReLUs on their way up, they travel in channels of their own, as what is positive of them and what
is negative, and the last layer takes one from the other.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..models.base import SegmentationNetwork
from ..models.deeplab import DeepLabV3Decoder, DeepLabV3PlusDecoder
from ..models.fcn import FCNDecoder
from ..models.heads import ASPP
from ..models.layers import bilinear_kernel
from ..models.unet import UNetDecoder

Kept = dict[nn.BatchNorm2d, Tensor]
"""For batch norms, what each channel that has to pass unchanged gets added, (C,); NaN for the others."""


@torch.no_grad()
def begin_at(network: SegmentationNetwork, public: SegmentationNetwork, photos: Tensor) -> None:
    """Give ``network``, one of the compact zoo, the backbone and the answer of ``public``, Google's DeepLab v3.

    ``photos`` are some (N, 3, H, W) normalised ones, by which batch norms are set: those that have to let pass what
    they get, to the identity, the others to mean 0 and deviation 1.

    Raises:
        TypeError: for a decoder that has no such beginning.
    """
    head = cast(DeepLabV3Decoder, public.decoder)
    cast(nn.Module, network.backbone).load_state_dict(cast(nn.Module, public.backbone).state_dict())
    decoder = network.decoder
    kept: Kept = {}
    if isinstance(decoder, FCNDecoder):
        _pyramid(cast(ASPP, decoder.head), head.aspp, kept)
        decoder.score.load_state_dict(head.classifier.state_dict())
        for score in decoder.skip_scores.values():
            for parameter in score.parameters():
                parameter.zero_()
    elif isinstance(decoder, DeepLabV3Decoder):
        _pyramid(decoder.aspp, head.aspp, kept)
        decoder.classifier.load_state_dict(head.classifier.state_dict())
    elif isinstance(decoder, DeepLabV3PlusDecoder):
        _pyramid(decoder.aspp, head.aspp, kept)
        _refinement(decoder, head.classifier, kept)
    elif isinstance(decoder, UNetDecoder):
        _pyramid(cast(ASPP, decoder.bottom), head.aspp, kept)
        _expanding_path(decoder, head.classifier, kept)
    else:
        raise TypeError(f"a {type(decoder).__name__} has no beginning of this kind")
    calibrate(network, photos, kept)


@torch.no_grad()
def calibrate(network: SegmentationNetwork, photos: Tensor, kept: Kept) -> None:
    """Set every batch norm of the decoder by what it meets on ``photos``, one after the other in one pass."""

    def settle(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        norm.running_mean, norm.running_var = mean, variance
        added = kept.get(norm, torch.full_like(mean, torch.nan))
        passes = ~added.isnan()
        norm.weight.copy_(torch.where(passes, (variance + norm.eps).sqrt(), 1.0))
        norm.bias.copy_(torch.where(passes, mean + added, 0.0))

    norms = [module for module in network.decoder.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    network.eval()(photos)
    for hook in hooks:
        hook.remove()


def _pyramid(aspp: ASPP, public: ASPP, kept: Kept) -> None:
    """The 1x1 branch, image pooling and their columns of the projection; those of the atrous branches are zero."""
    width = cast(nn.Conv2d, public.project[0]).out_channels
    for ours, theirs in ((aspp.convs[0], public.convs[0]), (aspp.convs[-1], public.convs[-1])):
        for mine, its in zip(ours.modules(), theirs.modules(), strict=True):
            _copy(mine, its, kept)
    project, other = (cast(nn.Conv2d, each.project[0]).weight for each in (aspp, public))
    project.zero_()
    project[:, :width], project[:, -width:] = other[:, :width], other[:, -width:]
    _copy(aspp.project[1], public.project[1], kept)


def _copy(ours: nn.Module, theirs: nn.Module, kept: Kept) -> None:
    if isinstance(ours, nn.Conv2d):
        ours.load_state_dict(theirs.state_dict())
    elif isinstance(ours, nn.BatchNorm2d):  # theirs adds a bias and nothing else
        kept[ours] = cast(Tensor, theirs.bias).clone()


def _signed(classifier: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """The scores and their negatives: weight (2 * classes, C) and bias (2 * classes,)."""
    weight, bias = classifier.weight.flatten(1), cast(Tensor, classifier.bias)
    return torch.cat([weight, -weight]), torch.cat([bias, -bias])


def _difference(classes: int) -> Tensor:
    """(classes, 2 * classes): what was positive minus what was negative."""
    return torch.cat([torch.eye(classes), -torch.eye(classes)], dim=1)


def _keep(kept: Kept, norm: nn.Module, added: Tensor) -> None:
    """Let the first channels pass ``norm``, with what is ``added`` to each."""
    assert isinstance(norm, nn.BatchNorm2d)
    kept[norm] = torch.full((norm.num_features,), torch.nan)
    kept[norm][: len(added)] = added


def _pass_through(conv: nn.Conv2d, channels: int) -> None:
    """Let the first ``channels`` pass a convolution as they are; of a full one they see no others."""
    kernel = torch.zeros_like(conv.weight[:channels])
    centre = conv.kernel_size[0] // 2
    for channel in range(channels):
        kernel[channel, 0 if conv.groups > 1 else channel, centre, centre] = 1
    conv.weight[:channels] = kernel


def _read_out(classifier: nn.Conv2d) -> None:
    classes = classifier.out_channels
    classifier.weight.zero_()
    classifier.weight[:, : 2 * classes, 0, 0] = _difference(classes)
    cast(Tensor, classifier.bias).zero_()


def _refinement(decoder: DeepLabV3PlusDecoder, classifier: nn.Conv2d, kept: Kept) -> None:
    """The ASPP's maps pass the first depthwise convolution; the pointwise one scores them, and the scores go on."""
    (deep, score), (again, onward) = cast("list[list[tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU]]]", decoder.refine)
    weight, bias = _signed(classifier)
    scores, width = weight.shape
    _pass_through(deep[0], width)
    _keep(kept, deep[1], torch.zeros(width))
    score[0].weight[:scores] = 0
    score[0].weight[:scores, :width, 0, 0] = weight
    _keep(kept, score[1], bias)
    for conv in (again, onward):
        _pass_through(conv[0], scores)
        _keep(kept, conv[1], torch.zeros(scores))
    _read_out(decoder.classifier)


def _expanding_path(decoder: UNetDecoder, classifier: nn.Conv2d, kept: Kept) -> None:
    """The first up-convolution scores what comes from the bottom; the scores pass all blocks, interpolated."""
    weight, bias = _signed(classifier)
    scores = len(weight)
    between = bilinear_kernel(2, True)
    for block in decoder.blocks:
        up = cast(nn.ConvTranspose2d, block.up)
        up.weight.copy_(
            up.weight[..., 1:2, 1:2] * between
        )  # what is new is smooth too: random kernels leave a checkerboard
        up.weight[:, :scores] = 0
        up.weight[: weight.shape[1], :scores] = weight.T[..., None, None] * between
        cast(Tensor, up.bias)[:scores] = bias
        for conv, norm, _ in cast("list[nn.Sequential]", block.convs):
            _pass_through(cast(nn.Conv2d, conv), scores)
            _keep(kept, norm, torch.zeros(scores))
        difference = _difference(classifier.out_channels)
        weight, bias = torch.cat([difference, -difference]), torch.zeros(scores)
    for reader in (*decoder.sides, decoder.classifier):
        _read_out(cast(nn.Conv2d, reader))
