import copy

import pytest
import torch
from torch import nn

import segmodels
from segmodels.precision import optimise

from .helpers import randomise_norms


@pytest.mark.parametrize("name", ["unet_resnet18", "fcn_resnet50", "deeplabv3_lite0"])
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
        optimise(segmodels.build("fcn_lite0"), torch.device("cpu"), "float16")
