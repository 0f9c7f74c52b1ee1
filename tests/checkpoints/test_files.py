"""What a weights file says of itself, and that nothing else is taken for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import segmodels
from segmodels.checkpoints.download import FetchError
from segmodels.checkpoints.files import read_state, read_weights, save_state
from segmodels.checkpoints.metadata import KEY, Metadata, backbone_hash
from segmodels.inference.loading import card_from_file
from segmodels.inference.segmenter import Segmenter
from segmodels.labels import VOC
from segmodels.models import registry
from segmodels.models import torchvision as published
from segmodels.training import start
from segmodels.training.data import SegmentationFolder
from segmodels.training.recipe import Recipe
from segmodels.training.train import train

TINY = Recipe(epochs=1, batch=2, crop=64, warmup=0)
DEEPLAB = next(name for name in registry.compact_models() if registry.card(name).atrous_rate)
OTHER = next(name for name in registry.compact_models() if registry.card(name).atrous_rate is None)


@pytest.fixture(autouse=True)
def random_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ImageNet weights: they would be fetched."""

    def unreachable(name: str) -> Path:
        raise FetchError("there is no connection in a test")

    monkeypatch.setattr(published, "classifier_file", unreachable)


def written(folder: Path, name: str = DEEPLAB, record: Metadata | None = None, **facts: Any) -> Path:
    """The bundled weights of a network with a record of ``facts``."""
    card = registry.card(name)
    file = folder / "mine.safetensors"
    network = registry.build(name)
    network.load_state_dict(
        {key: tensor.float() for key, tensor in load_file(card.weights_file()).items()}, strict=False
    )
    save_state(network, file, record=record or replace(card.metadata("random", {"data": 3}), **facts))
    return file


def test_a_file_that_was_trained_says_how(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    train(
        registry.card(DEEPLAB),
        [SegmentationFolder(data_folder, "train")],
        out,
        replace(TINY, output_stride=8),
        workers=0,
    )
    with safe_open(out, "pt") as file:
        said = json.loads(file.metadata()[KEY])
    card = registry.card(DEEPLAB)
    assert said["network"] == DEEPLAB
    assert tuple(said["class_list"]["names"]) == card.classes
    assert said["data"] == {"data": 6}
    assert said["mean"] == list(card.mean)
    assert (said["atrous_rate"], said["output_stride"]) == (12, 8)  # half the stride, twice the rate


def test_what_is_written_over_a_file_that_the_page_offers_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page runs for weeks, forgets networks and loads them again: features and settings are the first file's."""
    monkeypatch.setattr(registry, "CARDS", dict(registry.CARDS))
    file = written(tmp_path)
    registry.register(card_from_file(file))
    assert segmodels.load("mine").card.atrous_rate == registry.card(DEEPLAB).atrous_rate
    written(tmp_path, atrous_rate=12)
    with pytest.raises(ValueError, match="was changed"):
        segmodels.load("mine")
    assert segmodels.load(file).card.atrous_rate == 12


def test_what_is_trained_at_12_and_8_is_validated_and_loaded_at_12_and_8(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cat: Image.Image
) -> None:
    used = []
    call = Segmenter.__call__

    def noted(self: Segmenter, *arguments: Any) -> segmodels.Segmentation:
        result = call(self, *arguments)
        used.append((result.atrous_rate, result.output_stride))
        return result

    monkeypatch.setattr(Segmenter, "__call__", noted)
    trained = []
    prepare = start.prepare

    def prepared(network: Any, *arguments: Any) -> None:
        prepare(network, *arguments)
        trained.append((network.decoder.aspp.atrous_rates, network.backbone.output_stride))

    monkeypatch.setattr("segmodels.training.train.prepare", prepared)
    out = tmp_path / "mine.safetensors"
    train(
        registry.card(DEEPLAB),
        [SegmentationFolder(data_folder, "train")],
        out,
        replace(TINY, output_stride=8),
        SegmentationFolder(data_folder, "val"),
        workers=0,
    )
    assert trained == [((12, 24, 36), 8)]
    assert set(used) == {(12, 8)}
    result = segmodels.load(out)(cat)
    assert (result.atrous_rate, result.output_stride, result.notes) == (12, 8, ())


def test_a_file_stands_for_its_network_with_all_it_says(tmp_path: Path, cat: Image.Image) -> None:
    file = written(tmp_path, atrous_rate=12, output_stride=8, mean=(10.0, 20.0, 30.0), working_size=256)
    segmenter = segmodels.load(file, precision="float32")
    assert (segmenter.card.atrous_rate, segmenter.card.output_stride) == (12, 8)
    assert segmenter.card.mean == (10, 20, 30)
    result = segmenter(cat)
    assert (result.atrous_rate, result.output_stride, max(result.working_size)) == (12, 8, 257)  # 16 k + 1
    assert (segmodels.load(DEEPLAB, weights=file, precision="float32")(cat).labels == result.labels).all()


def test_weights_without_a_record_are_what_the_card_says(tmp_path: Path, cat: Image.Image) -> None:
    file = tmp_path / "old.safetensors"
    save_file(load_file(registry.card(DEEPLAB).weights_file()), file)
    expected = segmodels.load(DEEPLAB, precision="float32")(cat)
    assert (segmodels.load(DEEPLAB, weights=file, precision="float32")(cat).labels == expected.labels).all()
    with pytest.raises(ValueError, match="does not say which network"):
        segmodels.load(file)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"network": OTHER, "atrous_rate": None}, f"weights of {OTHER}, not of {DEEPLAB}"),
        ({"atrous_rate": None}, "which it cannot have"),
        ({"atrous_rate": 0}, "whole number"),
        ({"output_stride": 5}, "8, 16 or 32"),
        ({"working_size": 5}, "working size"),
        ({"short_side": -5}, "shorter side"),
        ({"mean": (float("nan"), 0, 0)}, "normalised"),
        ({"std": (0.0, 1.0, 1.0)}, "normalised"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        segmodels.load(DEEPLAB, weights=written(tmp_path, **facts))


def test_a_list_of_other_length_than_the_last_layer_is_refused(tmp_path: Path) -> None:
    classes = replace(VOC, names=VOC.names[:5], colours=VOC.colours[:5])
    with pytest.raises(ValueError, match="another number of classes"):
        segmodels.load(written(tmp_path, class_list=classes))


def test_two_files_are_one_too_many(tmp_path: Path) -> None:
    file = written(tmp_path)
    with pytest.raises(ValueError, match="two weights files"):
        segmodels.load(file, weights=file)


# --- A decoder alone ------------------------------------------------------------------------------------------------


def trained_on_frozen(data_folder: Path, out: Path, began: Path, name: str = DEEPLAB) -> dict[str, torch.Tensor]:
    recipe = replace(TINY, backbone_rate=0)
    train(registry.card(name), [SegmentationFolder(data_folder, "train")], out, recipe, start=began, workers=0)
    return load_file(out)


@pytest.mark.parametrize("model", [DEEPLAB, *(name for name in registry.bundled_models() if name.endswith("_streets"))])
def test_a_decoder_on_the_bundled_backbone_is_written_alone(model: str, data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "decoder.safetensors"
    bundled = registry.card(model).weights_file()
    assert all(name.startswith("decoder.") for name in trained_on_frozen(data_folder, out, bundled, model))
    _, record = read_weights(out)
    assert record is not None
    assert record.backbone == backbone_hash(load_file(bundled))
    assert segmodels.load(out).card.classes == VOC.names


def test_a_decoder_on_another_backbone_carries_it(data_folder: Path, tmp_path: Path, cat: Image.Image) -> None:
    out, other = tmp_path / "whole.safetensors", tmp_path / "other.safetensors"
    bundled = load_file(registry.card(DEEPLAB).weights_file())
    moved = {name: tensor * 1.5 if name.startswith("backbone.") else tensor for name, tensor in bundled.items()}
    save_file(moved, other)
    trained, backbone = trained_on_frozen(data_folder, out, other), load_file(other)
    assert all(torch.equal(tensor, backbone[name]) for name, tensor in trained.items() if name.startswith("backbone."))
    assert any(name.startswith("backbone.") for name in trained)
    assert segmodels.load(out)(cat).labels.shape == (300, 451)


def test_a_decoder_of_another_backbone_is_refused(data_folder: Path, tmp_path: Path) -> None:
    """As it would be when the bundled weights are replaced by others."""
    out = tmp_path / "decoder.safetensors"
    trained_on_frozen(data_folder, out, registry.card(DEEPLAB).weights_file())
    tensors, record = read_weights(out)
    assert record is not None
    save_file(tensors, out, replace(record, backbone="0" * 64).metadata())
    with pytest.raises(ValueError, match="trained on another backbone"):
        segmodels.load(out)


def test_a_frozen_backbone_keeps_its_statistics_too(data_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(TINY.seed)
    before = registry.build("unet_resnet18").state_dict()
    out = tmp_path / "frozen.safetensors"
    recipe = replace(TINY, backbone_rate=0)
    folders = [SegmentationFolder(data_folder, "train")]
    train(registry.card("unet_resnet18"), folders, out, recipe, start="scratch", workers=0)
    after = load_file(out)
    kept = [name for name in before if name.startswith("backbone.") and "running" in name]
    assert kept
    assert all(torch.equal(after[name], before[name].half()) for name in kept)


# --- Files from strangers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights.txt", "weights"])
@pytest.mark.parametrize("content", [b"", b"hello, I am a text\n", b"\x80\x04.", b"PK\x03\x04", bytes(4096)])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="holds no weights"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("saved", [[], {}, {1: torch.zeros(1)}, {"a": 1}, {"a": torch.zeros(2)}, torch.zeros(2)])
def test_what_is_no_state_dict_of_the_network_is_refused(tmp_path: Path, saved: object) -> None:
    torch.save(saved, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"state dict|another network|decoder alone"):
        segmodels.load(DEEPLAB, weights=tmp_path / "weights.pth")


STRANGE = {
    "nan": lambda tensor: tensor * float("nan"),
    "counts": lambda tensor: tensor.int(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "sparse": lambda tensor: tensor.to_sparse(),
    "meta": lambda tensor: tensor.to("meta"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_that_are_no_weights_are_refused(tmp_path: Path, kind: str) -> None:
    state = {name: tensor.float() for name, tensor in load_file(registry.card(OTHER).weights_file()).items()}
    name = next(name for name in state if state[name].ndim > 1)
    torch.save(state | {name: STRANGE[kind](state[name])}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"these weights (are damaged|cannot be used)"):
        segmodels.load(OTHER, weights=tmp_path / "weights.pth")


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """``content`` with a few bytes changed, cut out or put in, most of them in its head or its tail."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 6)):
        span = min(len(changed), int(random.choice([64, 2000, len(changed)])))
        place = int(random.integers(0, span))
        place = place if random.random() < 0.6 else len(changed) - 1 - place
        kind = random.integers(4)
        if kind == 0:
            changed[place] = int(random.integers(256))
        elif kind == 1:
            changed[place] ^= 1 << int(random.integers(8))
        elif kind == 2:
            del changed[place : place + int(random.integers(1, 64))]
        else:
            changed[place:place] = random.bytes(int(random.integers(1, 16)))
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_mutated_file_is_used_or_refused(tmp_path: Path, suffix: str) -> None:
    """A small network's, so that every byte counts."""
    record = registry.card(OTHER).metadata("random", {"data": 1})
    tensors = {f"decoder.{index}": torch.randn(index + 1, 3) for index in range(4)}
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".pth":
        torch.save(tensors, whole)
    else:
        save_file(tensors, whole, record.metadata())
    random, sentences = np.random.default_rng(0), []
    file = tmp_path / f"mutated{suffix}"
    for _ in range(300):
        file.write_bytes(mutated(whole.read_bytes(), random))
        try:
            read_weights(file)
        except ValueError as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    assert max(map(len, sentences)) < 600
