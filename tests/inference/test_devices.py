"""A graphics card, without one: torch's fake tensors have a device and a type but no numbers, and refuse to mix devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import segmodels.inference.segmenter
from demo.server import cache
from segmodels import Features, Segmenter
from segmodels.insight.receptive_field import effective_receptive_field
from segmodels.kernels import device, precision
from segmodels.kernels.precision import best_precision, optimise
from segmodels.models import registry
from segmodels.models.ablation import parts
from segmodels.training import rates
from segmodels.training.loss import segmentation_loss
from segmodels.training.process_group import Team, joined_team

CUDA, MPS, CPU = (torch.device(name) for name in ("cuda", "mps", "cpu"))
PHOTO = np.random.default_rng(0).integers(0, 255, (96, 130, 3), dtype=np.uint8)
OTHERS = ("unet_resnet18", "deeplabv3_mobilenet_v3_large", "fcn_resnet50")
"""Networks outside of the compact zoo."""


def faked(module: nn.Module, mode: FakeTensorMode, options: dict[str, Any]) -> nn.Module:
    """``module.to(...)``, for a card that is not here: its weights become fake ones over there."""

    def moved(tensor: Tensor) -> Tensor:
        left_out = set() if tensor.ndim == 4 else {"memory_format"}
        left_out |= set() if tensor.is_floating_point() else {"dtype"}
        fake = tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor.detach())
        chosen = {name: value for name, value in options.items() if name not in left_out}
        return fake.to(**chosen) if chosen else fake

    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(moved(weight), requires_grad=weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = moved(buffer)
    return module


@contextmanager
def card_in_the_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Inside, what is moved to a card, and what is computed inside of the mode that this gives, is fake."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def to(module: nn.Module, **options: Any) -> nn.Module:
        with mode:
            return faked(module, mode, options)

    monkeypatch.setattr(nn.Module, "to", to)
    monkeypatch.setattr(segmodels.inference.segmenter, "synchronise", lambda where: None)
    yield mode


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        *((name, "bfloat16") for name in registry.compact_models()),
        *(pytest.param(name, "bfloat16", marks=pytest.mark.slow) for name in OTHERS),
        (registry.DEFAULT_MODEL, "float32"),
        (registry.DEFAULT_MODEL, "float16"),
    ],
)
def test_every_way_through_a_network_stays_on_the_card(
    name: str, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, network, names = registry.card(name), registry.build(name), list(parts(registry.build_meta(name)))
    with card_in_the_machine(monkeypatch) as mode:
        segmenter = Segmenter(network, card, CUDA, numbers)
        with mode:
            features = segmenter.encode(PHOTO)
            assert {map_.device.type for map_ in features.maps} == {"cuda"}
            assert {map_.dtype for map_ in features.maps} == {getattr(torch, numbers)}
            kept = replace(features, maps=[map_.cpu() for map_ in features.maps])  # as the page remembers them
            for seen in (features, kept):
                for rate in (None, 1, 9) if card.atrous_rate else (None,):
                    for off in ([], names):
                        logits = segmenter.logits(seen, rate, off)
                        assert (logits.device.type, logits.dtype) == ("cpu", torch.float32)
                        assert logits.shape[0] == len(card.classes)
            for stride in (8, 32) if card.chooses_stride else ():
                assert segmenter.logits(segmenter.encode(PHOTO, stride)).device.type == "cpu"


def test_a_decoder_on_another_device_than_its_features_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the tests: what the demo once did fails on fake tensors too."""
    card, network = registry.card("fcn_resnet50"), registry.build("fcn_resnet50")
    with card_in_the_machine(monkeypatch) as mode:
        segmenter = Segmenter(network, card, CUDA, "float32")
        with mode:
            maps = [map_.cpu() for map_ in segmenter.encode(PHOTO).maps]
            with pytest.raises(RuntimeError, match="device"), segmenter.exclusive() as there:
                there.decode(maps)


def test_the_fitted_decoders_and_the_gradient_run_on_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    with card_in_the_machine(monkeypatch) as mode:
        monkeypatch.setattr(segmodels.inference.segmenter, "best_device", lambda: CUDA)
        segmenter = rates.load_fitted(12, 16, "float32")
        assert segmenter.device == CUDA
        with mode:
            assert segmenter.logits(segmenter.encode(PHOTO, working_size=128), 12).device.type == "cpu"
            pixels = segmenter.pixels(PHOTO, 128)
            assert pixels.device.type == "cuda"
            # The way back needs a card's driver; it takes the tensors of the way there, wherever they are.
            monkeypatch.setattr(torch.autograd, "grad", lambda score, x: (torch.empty_like(x),))
            with segmenter.exclusive() as network:
                assert effective_receptive_field(network, pixels, 3, 4, 1).device.type == "cuda"


def test_what_the_page_remembers_is_in_the_processors_memory() -> None:
    kept = cache.apart(Features([torch.ones(1, 2, 3, 4)], (4, 3), (4, 3), 16, 1.0, ""))
    assert kept.maps[0].device == CPU


def test_a_training_step_runs_on_the_card_up_to_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    network = registry.build(registry.DEFAULT_MODEL)
    with card_in_the_machine(monkeypatch) as mode:
        network.to(device=CUDA)
        with mode:
            x = torch.empty(2, 3, 65, 65, device=CUDA)
            labels = torch.zeros(2, 65, 65, dtype=torch.long, device=CUDA)
            outputs = network.side_logits(network.encode(x))
            loss = torch.stack([segmentation_loss(logits, labels, 0.1, 0) for logits in outputs]).mean()
    assert (loss.device.type, loss.requires_grad) == ("cuda", True)


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, CUDA), (False, True, MPS), (False, False, CPU)])
def test_the_best_device_is_chosen(
    cuda: bool, mps: bool, chosen: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cuda, mps)
    assert device.best_device() == chosen
    with joined_team() as team:
        assert team.device == chosen


def machine(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool) -> None:
    """Let this one have the devices that are said."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("cuda", "mps"), [(True, False), (False, True), (False, False)])
def test_in_a_team_each_has_its_own_gpu_or_all_have_processors(
    cuda: bool, mps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cuda, mps)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    backends: list[str] = []
    monkeypatch.setattr(distributed, "init_process_group", backends.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setattr(distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda where: None)
    with joined_team() as team:
        assert team == Team(torch.device("cuda", 3) if cuda else CPU, rank=3, size=4)
    assert backends == ["nccl" if cuda else "gloo"]


def test_training_by_mps_is_in_float32_whatever_its_processor_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"amx_bf16"})
    assert precision.training_precision(CPU) == "bfloat16"
    assert precision.training_precision(MPS) == "float32"


def test_precisions_are_those_of_the_device() -> None:
    assert best_precision(MPS) == "float32"
    with pytest.raises(ValueError, match="the precision on cpu must be one of float32, bfloat16, not 'float16'"):
        optimise(registry.build("unet"), CPU, "float16")
