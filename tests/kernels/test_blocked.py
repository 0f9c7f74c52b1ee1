"""MobileNet v2 in oneDNN's layout gives what torch gives, as ordinary maps, at every setting."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from segmodels.kernels import precision
from segmodels.kernels.blocked import use_blocked_layout
from segmodels.kernels.fused import can_fuse, fuse_activations
from segmodels.models import registry
from segmodels.models.backbones import MobileNetV2

pytestmark = pytest.mark.skipif(not can_fuse(torch.float32), reason="oneDNN is not here")


def backbone(output_stride: int) -> MobileNetV2:
    torch.manual_seed(3)
    network = MobileNetV2(output_stride).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # torch's own start lets the numbers vanish
    return network


def fast(network: MobileNetV2) -> MobileNetV2:
    network = copy.deepcopy(network)
    fuse_activations(network)
    use_blocked_layout(network)
    return network


def exactly(network: MobileNetV2, x: Tensor) -> list[Tensor]:
    """The features by torch's own convolutions in float64."""
    return [feature.float() for feature in copy.deepcopy(network).double()(x.double())]


@pytest.mark.parametrize("size", [(65, 97), (50, 83), (1, 1)])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_features_are_torchs(output_stride: int, size: tuple[int, int]) -> None:
    network, x = backbone(32), torch.randn(2, 3, *size)
    quick = fast(network)
    for each in (network, quick):
        each.set_output_stride(output_stride)
    with torch.inference_mode():
        features = quick(x)
    for feature, expected in zip(features, exactly(network, x), strict=True):
        assert feature.layout == torch.strided
        torch.testing.assert_close(feature, expected, rtol=1e-3, atol=2e-5 * float(expected.abs().max()))


def test_it_is_this_layout_inside() -> None:
    seen: list[bool] = []
    quick = fast(backbone(32))
    quick.get_submodule("stages.1.1").register_forward_hook(
        lambda module, inputs, output: seen.append(output.is_mkldnn)
    )
    with torch.inference_mode():
        quick(torch.randn(1, 3, 33, 33))
    assert seen == [True]


def test_gradients_are_torchs() -> None:
    network, x = backbone(16), torch.randn(1, 3, 33, 49)
    gradients = []
    for each in (network, fast(network)):
        photo = x.clone().requires_grad_()
        each(photo)[-1].sum().backward()
        assert photo.grad is not None
        gradients.append(photo.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5 * float(gradients[0].abs().max()))


def test_copies_work_as_well() -> None:
    quick, x = fast(backbone(32)), torch.randn(1, 3, 33, 33)
    with torch.inference_mode():
        expected = quick(x)
        for twin in (copy.deepcopy(quick), pickle.loads(pickle.dumps(quick))):
            for feature, other in zip(expected, twin(x), strict=True):
                assert torch.equal(feature, other)


@pytest.mark.parametrize(("flags", "used"), [({"avx2"}, True), ({"avx2", "avx512f"}, False), ({"asimd"}, False)])
def test_processors_without_avx512_take_it(flags: set[str], used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    network = precision.optimise(registry.build("fcn_mobilenetv2"), torch.device("cpu"), "float32")
    seen: list[bool] = []
    network.get_submodule("backbone.stem").register_forward_hook(lambda module, inputs, x: seen.append(x.is_mkldnn))
    with torch.inference_mode():
        network(torch.randn(1, 3, 33, 33))
    assert seen == [used]
