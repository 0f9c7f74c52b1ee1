import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

import segmodels
from segmodels.kernels import precision
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


CPU = torch.device("cpu")


@pytest.fixture
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is chosen yet, and the environment chooses nothing; forgotten afterwards."""
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    precision.choose_precision.cache_clear()
    yield
    precision.choose_precision.cache_clear()


@pytest.mark.usefixtures("fresh_choice")
@pytest.mark.parametrize(
    ("flags", "milliseconds", "chosen"),
    [
        (set(), None, "float32"),  # nothing is measured where bfloat16 is emulated
        ({"avx512_bf16"}, {"float32": 3.8, "bfloat16": 4.7}, "float32"),  # named by the processor, and slower
        ({"avx512_bf16"}, {"float32": 4.0, "bfloat16": 3.9}, "float32"),  # a few per cent are not worth its rounding
        ({"amx_bf16"}, {"float32": 4.0, "bfloat16": 1.0}, "bfloat16"),
    ],
)
def test_the_precision_is_the_one_that_was_measured_to_be_faster(
    flags: set[str], milliseconds: dict[str, float] | None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured() -> dict[str, float]:
        assert milliseconds is not None
        return milliseconds

    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    monkeypatch.setattr(precision, "can_fuse", lambda dtype: True)
    monkeypatch.setattr(precision, "measure_precisions", measured)
    choice = precision.choose_precision(CPU)
    assert choice.precision == precision.best_precision(CPU) == chosen
    assert choice.milliseconds == (milliseconds or {})
    assert choice.reason


@pytest.mark.usefixtures("fresh_choice")
def test_the_environment_chooses_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "bfloat16")
    assert precision.best_precision(CPU) == "bfloat16"
    precision.choose_precision.cache_clear()
    monkeypatch.setenv(precision.VARIABLE, "float16")
    with pytest.raises(ValueError, match="must be one of"):
        precision.best_precision(CPU)


def test_both_precisions_are_measured_and_no_random_number_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(precision, "_probe_layers", lambda: [small_layer()])
    state = torch.get_rng_state()
    milliseconds = precision.measure_precisions()
    assert set(milliseconds) == {"float32", "bfloat16"}
    assert all(0 < time < float("inf") for time in milliseconds.values())
    precision._probe_layers()
    assert torch.equal(torch.get_rng_state(), state)


def small_layer() -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        return nn.Conv2d(4, 4, 1).requires_grad_(False), torch.randn(1, 4, 8, 8)
