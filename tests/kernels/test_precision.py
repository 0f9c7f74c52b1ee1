import copy

import pytest
import torch
from torch import nn

import segmodels
from segmodels.kernels.precision import keep_depthwise_in_float32, optimise

from ..helpers import randomise_norms


@pytest.mark.parametrize("name", ["unet_resnet18", "fcn_resnet50", "deeplabv3_mobilenetv2"])
def test_folding_leaves_no_batch_norm_and_the_same_answer(name: str) -> None:
    torch.manual_seed(0)
    network = segmodels.build(name).eval()
    randomise_norms(network)
    fast = optimise(copy.deepcopy(network), torch.device("cpu"), "float32")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    x = torch.randn(1, 3, 65, 70)
    with torch.inference_mode():
        expected, answer = network(x), fast(x)
    torch.testing.assert_close(answer / expected.std(), expected / expected.std(), rtol=0, atol=1e-4)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        optimise(segmodels.build("fcn_mobilenetv2"), torch.device("cpu"), "float16")


def test_a_depthwise_convolution_kept_in_float32_is_not_touched_by_autocast() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    kept = copy.deepcopy(plain)
    keep_depthwise_in_float32(kept)
    x = torch.randn(1, 8, 9, 9)
    expected = plain(x)
    expected.square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(x).dtype == torch.bfloat16
        answer = kept(x)
    answer.square().sum().backward()
    assert torch.equal(answer, expected)
    for own, other in zip(kept.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)
