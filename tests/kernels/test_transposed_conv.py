"""Transposed convolutions a phase at a time, beside torch's own."""

import copy

import pytest
import torch
from torch import nn

from segmodels.kernels.precision import optimise
from segmodels.kernels.transposed_conv import PhasedConvTranspose2d
from segmodels.models import registry


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, 2), (3, 1, 1), (7, 3, 2), (5, 4, 0)]
)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6)])
def test_a_transposed_convolution_taken_apart_says_what_torch_says(
    kernel: int, stride: int, padding: int, size: tuple[int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(6, 4, kernel, stride, padding)
    x = torch.randn(2, 6, *size).to(dtype).contiguous(memory_format=torch.channels_last)
    phased = PhasedConvTranspose2d(copy.deepcopy(conv)).to(dtype).to(memory_format=torch.channels_last)
    exact = copy.deepcopy(phased).double()  # a copy that is cast anew, and in float64 torch's own
    with torch.inference_mode():
        least = [(cells - 1) * stride - 2 * padding + kernel for cells in size]
        for more in range(stride):  # what torch calls output padding
            wanted = [cells + more for cells in least]
            expected = nn.ConvTranspose2d.forward(exact, x.double(), wanted)
            answer = phased(x, wanted)
            assert answer.shape == expected.shape
            assert answer.is_contiguous(memory_format=torch.channels_last)
            close = 3 * torch.finfo(dtype).eps * float(expected.abs().max())
            assert float((answer - expected).abs().max()) <= close
        assert phased(x).shape[-2:] == tuple(least)


def test_what_learns_is_torchs_own_transposed_convolution() -> None:
    conv = PhasedConvTranspose2d(nn.ConvTranspose2d(3, 2, 3, 2, 1))
    conv(torch.randn(1, 3, 4, 4)).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0


def test_up_convolutions_go_by_phases_and_interpolations_do_not() -> None:
    for name, expected in (("unet_mobilenetv2", 4), ("unet_width24", 4), ("fcn_mobilenetv2", 0)):
        network = optimise(registry.build(name), torch.device("cpu"), "float32")
        assert sum(isinstance(module, PhasedConvTranspose2d) for module in network.modules()) == expected
