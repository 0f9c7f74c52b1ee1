"""Pyramid pooling against bins cut by hand and against torchvision's ASPP."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import ASPP as TorchvisionASPP

from segmodels.models.heads import ASPP, ImagePooling, SpatialPyramidPooling
from segmodels.models.layers import DepthwiseSeparableConv

from ..helpers import randomise_norms


@pytest.mark.parametrize("size", [(13, 13), (4, 4), (7, 30), (64, 5)])
def test_spatial_pyramid_gives_5376_numbers_from_256_maps_of_any_size(size: tuple[int, int]) -> None:
    # 16 + 4 + 1 bins of 256 maps.
    assert SpatialPyramidPooling()(torch.randn(2, 256, *size)).shape == (2, 5376)


def test_spatial_pyramid_takes_the_greatest_of_every_bin() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 9, 14)
    expected = []
    for bins in (4, 2, 1):
        for plane in x:
            for i in range(bins):
                for j in range(bins):
                    rows = slice(math.floor(i * 9 / bins), math.ceil((i + 1) * 9 / bins))
                    columns = slice(math.floor(j * 14 / bins), math.ceil((j + 1) * 14 / bins))
                    expected.append(plane[rows, columns].max())
    torch.testing.assert_close(SpatialPyramidPooling()(x[None])[0], torch.stack(expected), atol=0, rtol=0)


def test_image_pooling_spreads_the_mean_of_the_whole_map() -> None:
    torch.manual_seed(0)
    pooling = ImagePooling(3, 4).eval()
    (conv,) = (module for module in pooling if isinstance(module, nn.Conv2d))
    x = torch.randn(2, 3, 5, 8)
    mean = torch.einsum("nc,oc->no", x.mean(dim=(2, 3)), conv.weight[:, :, 0, 0])
    # A fresh batch norm in eval mode divides by sqrt(1 + eps).
    expected = (mean / math.sqrt(1 + 1e-5)).relu()[..., None, None].expand(2, 4, 5, 8)
    torch.testing.assert_close(pooling(x), expected, atol=1e-5, rtol=0)


def pair(rates: Sequence[int], shown: Sequence[int]) -> tuple[ASPP, TorchvisionASPP]:
    """Ours, built with ``rates``, and torchvision's, built with ``shown``, with the same weights."""
    torch.manual_seed(0)
    theirs = TorchvisionASPP(24, list(shown), 16).eval()
    randomise_norms(theirs)
    ours = ASPP(24, 16, rates).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("rates", [(6, 12, 18), (1, 2, 3), (12, 24, 36), (2, 4)])
def test_aspp_is_torchvisions(rates: Sequence[int]) -> None:
    ours, theirs = pair(rates, rates)
    x = torch.randn(2, 24, 17, 23)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)


def test_rates_change_afterwards_as_if_built_so() -> None:
    ours, theirs = pair((6, 12, 18), (2, 4, 6))
    x = torch.randn(1, 24, 17, 23)
    assert not torch.allclose(ours(x), theirs(x), atol=1e-3)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    ours.set_atrous_rates((2, 4, 6))
    assert ours.atrous_rates == (2, 4, 6)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=0)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("rates", [(), (6, 12), (6, 12, 18, 24), (0, 6, 12), (6, -12, 18)])
def test_unusable_rates_are_refused_and_nothing_changes(rates: Sequence[int]) -> None:
    aspp = ASPP(4, 4, (6, 12, 18))
    with pytest.raises(ValueError, match="3 positive"):
        aspp.set_atrous_rates(rates)
    assert aspp.atrous_rates == (6, 12, 18)


def test_rates_of_separable_branches_move_the_depthwise_part() -> None:
    aspp = ASPP(4, 6, (6, 12, 18), conv=DepthwiseSeparableConv)
    aspp.set_atrous_rates((1, 2, 3))
    kernels = [conv for conv in aspp.modules() if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)]
    assert [conv.dilation for conv in kernels] == [(1, 1), (2, 2), (3, 3)]
    assert all(conv.groups == 4 for conv in kernels)
    assert aspp(torch.randn(2, 4, 9, 11)).shape == (2, 6, 9, 11)


def test_a_rate_beyond_the_map_leaves_a_1x1_convolution() -> None:
    torch.manual_seed(0)
    aspp = ASPP(5, 7, (9,)).eval()
    branch = aspp.convs[1]
    assert isinstance(branch, nn.Sequential)
    conv, norm, relu = branch
    assert isinstance(conv, nn.Conv2d)
    x = torch.randn(1, 5, 9, 8)
    middle = functional.conv2d(x, conv.weight[:, :, 1:2, 1:2])
    torch.testing.assert_close(branch(x), relu(norm(middle)), atol=1e-5, rtol=0)
