import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

import segmodels
from segmodels.checkpoints.files import read_weights
from segmodels.checkpoints.paths import WEIGHTS
from segmodels.inference.loading import card_with_metadata
from segmodels.insight.facts import facts as facts_of
from segmodels.labels import CAMVID, NUCLEI, VOC
from segmodels.models import registry
from segmodels.models.ablation import parts

COMPACT = ["fcn_mobilenetv2", "unet_mobilenetv2", "deeplabv3_mobilenetv2", "deeplabv3plus_mobilenetv2"]


def test_the_compact_zoo_is_there_with_weights() -> None:
    assert registry.compact_models() == COMPACT
    assert (
        set(COMPACT)
        <= set(registry.bundled_models())
        <= set(segmodels.trained_models())
        <= set(segmodels.list_models())
    )


@pytest.mark.parametrize("name", segmodels.list_models())
def test_every_network_gives_logits_of_any_size_and_class_count(name: str) -> None:
    with torch.device("meta"):
        network = segmodels.build(name, num_classes=5).eval()
        assert network(torch.zeros(2, 3, 97, 130)).shape == (2, 5, 97, 130)


@pytest.mark.parametrize("name", segmodels.list_models())
def test_every_card_is_complete_and_honest(name: str) -> None:
    card = segmodels.card(name)
    facts = facts_of(card)
    assert facts["title"]
    assert facts["summary"].endswith(".")
    assert facts["parameters"] == sum(tensor.numel() for tensor in segmodels.build(name).parameters())
    json.dumps(facts)


@pytest.mark.parametrize("name", registry.bundled_models())
def test_bundled_weights_are_what_their_card_says(name: str) -> None:
    card = segmodels.card(name)
    file, facts = card.weights_file(), card.measured
    assert file.stat().st_size < 10_000_000
    assert hashlib.sha256(file.read_bytes()).hexdigest() == facts["sha256"]
    with safe_open(file, "pt") as tensors:
        floating = {tensors.get_tensor(key).dtype for key in tensors.keys()} - {torch.int64}  # noqa: SIM118
    assert floating == {torch.float16}
    assert facts["parameters"] == sum(tensor.numel() for tensor in segmodels.build(name).parameters())
    assert facts["training"]["data"]
    assert facts["training"]["commands"]
    assert facts["licence"]
    assert facts["limits"]
    scores = facts["scores"]
    assert set(scores["iou"]) == set(card.classes)
    there = [iou for iou in scores["iou"].values() if iou is not None]
    assert scores["miou"] == pytest.approx(sum(there) / len(there), abs=1e-3)
    assert ("miou7" in scores) == (card.class_list == VOC)
    if "miou7" in scores:
        seven = [scores["iou"][name] for name in ("background", "cat", "cow", "dog", "horse", "person", "sheep")]
        assert scores["miou7"] == pytest.approx(sum(seven) / 7, abs=1e-3)


@pytest.mark.parametrize("name", registry.bundled_models())
def test_what_a_bundled_file_says_of_itself_stands_on_its_card(name: str) -> None:
    card = segmodels.card(name)
    _, record = read_weights(card.weights_file())
    if record is not None:
        assert card_with_metadata(card, record) == replace(card, origin=record.origin)


LICENCES = {CAMVID: "CC BY-NC", NUCLEI: "CC0"}


@pytest.mark.parametrize("name", [name for name in registry.bundled_models() if registry.card(name).class_list != VOC])
def test_weights_of_another_data_set_say_under_which_licence_they_are(name: str) -> None:
    card = segmodels.card(name)
    licence = card.measured["licence"]
    for text in (card.summary, licence, (WEIGHTS / f"{name}.md").read_text(encoding="utf-8")):
        assert LICENCES[card.class_list] in text
    assert ("commercial" in licence) == (card.class_list == CAMVID)
    assert name not in registry.compact_models()


def test_the_one_from_scratch_scores_lower_as_it_says_and_better_than_a_network_that_sees_nothing() -> None:
    scratch, started = (registry.card(name).measured["scores"] for name in ("unet_width24", "unet_mobilenetv2"))
    assert "scores lower" in registry.card("unet_width24").summary
    nothing_but_background = scratch["pixels"]["background"] / sum(scratch["pixels"].values()) / 7
    assert 2 * nothing_but_background < scratch["miou7"] < started["miou7"]


@pytest.mark.parametrize("name", ["deeplabv3", "DeepLabV3Plus_mobile", "../fcn_mobilenetv2", "", "x" * 10_000, None])
def test_an_unknown_name_is_answered_with_the_near_ones(name: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as caught:
        segmodels.card(name)
    assert len(str(caught.value)) < 600


def test_near_names_are_near() -> None:
    with pytest.raises(ValueError, match="did you mean unet_mobilenetv2"):
        segmodels.build("unet_mobilenet")


def test_a_network_needs_a_class() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        segmodels.build("unet_mobilenetv2", num_classes=0)


@pytest.mark.parametrize("name", registry.list_models())
def test_the_variants_of_a_decoder_are_made_of_its_parts(name: str) -> None:
    card = registry.card(name)
    names = [variant for variant, _ in card.variants]
    assert len(set(names)) == len(names)
    assert card.variants[0][1] == ()
    known = parts(registry.build_meta(name))
    assert all(part in known for _, disabled in card.variants for part in disabled)
    assert card.disabled_by("nothing of the kind") == card.disabled_by(None) == ()
