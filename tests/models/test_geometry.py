"""Where things lie: a dot on the photo stays where it is, through every network and every interpolation."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segmodels.inference.label_map import label_map, upsample_logits
from segmodels.inference.sizes import fit_working_size
from segmodels.models import registry
from segmodels.models.ablation import disabled_parts
from segmodels.models.backbones import MobileNetV2, ResNet18, Xception65
from segmodels.models.layers import BilinearUpsampling, factor_between, resize_logits, upsample_like
from segmodels.models.unet import UpBlock
from segmodels.training.decoders import begin


@pytest.mark.parametrize("size", [(33, 49), (32, 48), (35, 50), (17, 33)])
@pytest.mark.parametrize("factor", [2, 4, 16])
def test_on_corners_every_cell_keeps_its_place_at_any_size(factor: int, size: tuple[int, int]) -> None:
    height, width = (-(-side // factor) for side in size)
    cells = torch.randn(1, 2, height, width)
    fine = resize_logits(cells, size, True)
    assert fine.shape[-2:] == size
    assert torch.allclose(fine[..., ::factor, ::factor], cells, atol=1e-6)


def test_on_corners_a_ramp_stays_a_ramp() -> None:
    ramp = torch.arange(0, 33, 4).float().expand(1, 1, 9, 9)
    assert torch.allclose(resize_logits(ramp, (33, 33), True)[0, 0, 0], torch.arange(33.0), atol=1e-5)


def test_half_pixel_interpolation_puts_cells_beside_their_place() -> None:
    """What the grid of corners is for: halfway between cells of stride 16 lie 7.5 pixels."""
    ramp = torch.arange(0, 512, 16).float().expand(1, 1, 32, 32)
    shifted = resize_logits(ramp, (512, 512), False)[0, 0, 0]
    assert torch.allclose(shifted[8:-8], torch.arange(512.0)[8:-8] - 7.5, atol=1e-3)


@pytest.mark.parametrize("finer", [(9, 13), (7, 7), (10, 14), (8, 8)])
def test_transposed_convolutions_agree_with_interpolation(finer: tuple[int, int]) -> None:
    cells = -(-finer[0] // 2), -(-finer[1] // 2)
    x, like = torch.randn(1, 3, *cells), torch.empty(1, 1, *finer)
    raised = upsample_like(BilinearUpsampling(3, 2, True), x, like)
    expected = resize_logits(x, finer, True)
    odd = slice(None, 2 * cells[0] - 1), slice(None, 2 * cells[1] - 1)
    assert raised.shape == expected.shape
    torch.testing.assert_close(raised[..., odd[0], odd[1]], expected[..., odd[0], odd[1]])


@pytest.mark.parametrize("backbone", [MobileNetV2, ResNet18, Xception65])
def test_a_strided_backbone_leaves_cell_i_at_pixel_s_times_i(backbone: type[nn.Module]) -> None:
    """Mirrored, a photo of odd sides gives mirrored maps if and only if the first cell lies on the first pixel."""
    torch.manual_seed(0)
    network = backbone().eval()
    assert network.align_corners
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # kernels that are their own mirror image
            module.weight.data = (module.weight + module.weight.flip(3)) / 2
    x = torch.randn(1, 3, 33, 65)
    with torch.inference_mode():
        for seen, mirrored in zip(network(x), network(x.flip(3)), strict=True):
            torch.testing.assert_close(mirrored.flip(3) / seen.std(), seen / seen.std(), atol=1e-4, rtol=0)


def test_the_up_convolution_of_a_u_net_puts_its_middle_tap_on_the_cell() -> None:
    block = UpBlock(1, 1, 1, align_corners=True)
    nn.init.zeros_(block.up.weight)
    assert block.up.bias is not None
    nn.init.zeros_(block.up.bias)
    block.up.weight.data[0, 0, 1, 1] = 1
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 3] = 1
    with torch.no_grad():
        raised = block.upsample(dot, torch.empty(1, 1, 9, 9))
    assert raised.nonzero().tolist() == [[0, 0, 4, 6]]


def test_label_maps_put_a_cell_where_resizing_put_its_pixel() -> None:
    """A cell of stride 16 at twice the size: its pixel's middle, (16 i + 0.5) * 2, minus the half to the pixel's edge."""
    seen, photo = (33, 65), (66, 130)
    logits = torch.zeros(2, 3, 5)
    logits[1] = torch.arange(5.0) * 16  # the input column on which each cell lies
    columns = upsample_logits(logits, photo, aligned_size=seen)[1, 0]
    expected = ((torch.arange(130) + 0.5) / 2 - 0.5).clamp(0, 64)
    torch.testing.assert_close(columns, expected, atol=1e-4, rtol=0)


def test_label_maps_are_the_spread_logits() -> None:
    torch.manual_seed(0)
    logits, photo, seen = torch.randn(4, 5, 7), (70, 101), (65, 97)
    assert np.array_equal(
        label_map(logits, photo, aligned_size=seen), upsample_logits(logits, photo, seen).max(0).indices.numpy()
    )


def test_without_its_skips_fcn_begins_with_the_public_networks_answer_at_stride_32() -> None:
    torch.manual_seed(0)
    public = registry.build("deeplabv3_mobilenetv2_google").eval()
    for norm in public.decoder.modules():
        if isinstance(norm, nn.BatchNorm2d):  # as converted: a norm that adds a bias
            assert norm.running_var is not None
            norm.running_var.fill_(1 - norm.eps)
            nn.init.normal_(norm.bias)
    network = registry.build("fcn_mobilenetv2").eval()
    begin(network, public)
    public.backbone.set_output_stride(32)
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode(), disabled_parts(network, ("score 16", "score 8")):
        expected, found = public(x), network(x)
    assert_close_to(found, expected)


def assert_close_to(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found / expected.std(), expected / expected.std(), atol=1e-3, rtol=0)


def test_sides_are_a_multiple_of_sixteen_plus_one_on_corners() -> None:
    assert fit_working_size((640, 480), 513, True) == (513, 385)
    assert fit_working_size((480, 640), 512, True) == (385, 513)
    assert fit_working_size((1000, 10), 513, True) == (513, 33)


def test_factors_are_powers_of_two() -> None:
    assert [factor_between(33, 513), factor_between(25, 385), factor_between(257, 513)] == [16, 16, 2]
    with pytest.raises(ValueError, match="no halving"):
        factor_between(34, 513)


def test_the_last_step_of_a_network_is_interpolation_from_corner_to_corner() -> None:
    network = registry.build("deeplabv3plus_mobilenetv2").eval()
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        logits = network.decode(network.encode(x))
        expected = functional.interpolate(logits, (65, 97), mode="bilinear", align_corners=True)
        torch.testing.assert_close(network(x), expected)
