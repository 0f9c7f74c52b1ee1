"""The building blocks against torchvision and against torch's own operations put together another way."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.transforms.functional import center_crop

from segmodels.models.layers import (
    AtrousConv,
    BilinearUpsampling,
    ConvBNReLU,
    DepthwiseSeparableConv,
    bilinear_kernel,
    crop_centre,
    crop_like,
)

from ..helpers import interior, parameters, randomise_norms


def without_norms(module: nn.Module) -> nn.Module:
    """The same module in eval mode with its batch norms and activations out of the way."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.ReLU):
            setattr(module, name, nn.Identity())
        else:
            without_norms(child)
    return module.eval()


def test_conv_bn_relu_is_the_first_layer_of_torchvisions_fcn_head() -> None:
    torch.manual_seed(0)
    theirs = FCNHead(32, 5).eval()
    randomise_norms(theirs)
    ours = nn.Sequential(*ConvBNReLU(32, 8), nn.Dropout(0.1), nn.Conv2d(8, 5, 1)).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 32, 9, 13)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 3])
def test_conv_bn_relu_rounds_sizes_up(kernel: int, stride: int, dilation: int) -> None:
    x = torch.randn(1, 2, 33, 64)
    out = ConvBNReLU(2, 3, kernel, stride, dilation).eval()(x)
    assert out.shape == (1, 3, -(-33 // stride), -(-64 // stride))


@pytest.mark.parametrize("rate", [1, 2, 5])
def test_atrous_conv_is_a_large_convolution_with_holes(rate: int) -> None:
    torch.manual_seed(0)
    conv = without_norms(AtrousConv(3, 4, rate))
    (weight,) = conv.parameters()
    holes = torch.zeros(4, 3, 2 * rate + 1, 2 * rate + 1)
    holes[..., ::rate, ::rate] = weight.detach()
    x = torch.randn(2, 3, 11, 14)
    torch.testing.assert_close(conv(x), functional.conv2d(x, holes, padding=rate), atol=1e-5, rtol=0)


def test_atrous_conv_moves_with_its_input() -> None:
    torch.manual_seed(0)
    conv = AtrousConv(2, 2, 3).eval()
    x = torch.randn(1, 2, 24, 24)
    moved = torch.roll(x, (4, 5), dims=(2, 3))
    expected = torch.roll(conv(x), (4, 5), dims=(2, 3))
    inside = (..., slice(3 + 4, -3), slice(3 + 5, -3))
    torch.testing.assert_close(conv(moved)[inside], expected[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [1, 3])
def test_separable_conv_filters_each_channel_and_then_mixes(rate: int) -> None:
    torch.manual_seed(0)
    conv = without_norms(DepthwiseSeparableConv(3, 5, rate))
    depthwise, pointwise = (parameter.detach() for parameter in conv.parameters())
    x = torch.randn(2, 3, 10, 7)
    planes = [
        functional.conv2d(x[:, channel : channel + 1], depthwise[channel : channel + 1], padding=rate, dilation=rate)
        for channel in range(3)
    ]
    mixed = torch.einsum("nchw,oc->nohw", torch.cat(planes, dim=1), pointwise[:, :, 0, 0])
    torch.testing.assert_close(conv(x), mixed, atol=1e-5, rtol=0)


def test_separable_conv_has_nine_weights_a_channel_and_a_matrix() -> None:
    norms = 2 * 32 + 2 * 48
    assert parameters(DepthwiseSeparableConv(32, 48)) == 9 * 32 + 32 * 48 + norms


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
def test_upsampling_starts_as_bilinear_interpolation(factor: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6)
    ours = BilinearUpsampling(3, factor)(x)
    theirs = functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    assert ours.shape == theirs.shape
    # Beyond the middle of the outermost cells one repeats the border and the other fades to zero.
    torch.testing.assert_close(interior(ours, factor), interior(theirs, factor), atol=1e-5, rtol=0)


def test_upsampling_can_learn_to_mix_classes() -> None:
    upsampling = BilinearUpsampling(3, 2)
    upsampling(torch.ones(1, 3, 2, 2)).sum().backward()
    assert upsampling.weight.grad is not None
    assert (upsampling.weight.grad != 0).all()


@pytest.mark.parametrize("factor", [1, 3])
def test_upsampling_by_an_odd_factor_is_refused(factor: int) -> None:
    with pytest.raises(ValueError, match="even"):
        BilinearUpsampling(2, factor)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_bilinear_kernel_shares_every_pixel_out(factor: int) -> None:
    # Interpolating a flat map must give a flat map: the kernel's entries a stride apart sum to one.
    kernel = bilinear_kernel(factor)
    sums = kernel.reshape(2, factor, 2, factor).sum(dim=(0, 2))
    torch.testing.assert_close(sums, torch.ones(factor, factor))


def test_crop_centre_is_torchvisions_center_crop() -> None:
    x = torch.randn(2, 3, 64, 60)
    torch.testing.assert_close(crop_centre(x, torch.empty(1, 1, 56, 40)), center_crop(x, [56, 40]), atol=0, rtol=0)


def test_crop_like_keeps_the_top_left_corner() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert crop_like(x, torch.empty(5, 7, 2, 3)).tolist() == [[[[0, 1, 2], [4, 5, 6]]]]
