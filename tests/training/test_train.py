import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

from segmodels.checkpoints.download import FetchError
from segmodels.files import atomic_write
from segmodels.inference.sizes import network_input_size
from segmodels.models import pretrained, registry
from segmodels.models import torchvision as published
from segmodels.training import start
from segmodels.training.data import SegmentationFolder
from segmodels.training.loss import lovasz_softmax, segmentation_loss
from segmodels.training.process_group import Team
from segmodels.training.recipe import Recipe
from segmodels.training.results import results_folder
from segmodels.training.run import Run, learning_rate_factor
from segmodels.training.train import train

from ..helpers import randomise_norms

TINY = Recipe(epochs=2, batch=2, crop=64, warmup=2)


def _losses(out: Path) -> list[float]:
    """The loss of every epoch, from the log beside the weights."""
    return [row["loss"] for row in json.loads((results_folder(out) / "log.json").read_text())["history"]]


@pytest.fixture(autouse=True)
def random_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ImageNet weights: they would be fetched."""

    def unreachable(name: str) -> Path:
        raise FetchError("there is no connection in a test")

    monkeypatch.setattr(published, "classifier_file", unreachable)


def test_loss_of_coarse_logits_is_that_of_every_fourth_pixel() -> None:
    """At the corners of the cells the pixels' own interpolated logits are known: torch's to the full size."""
    logits = torch.randn(2, 3, 4, 4)
    labels = torch.randint(3, (2, 16, 16), dtype=torch.uint8)
    labels[:, :4] = 255
    pixels = torch.nn.functional.interpolate(logits, (16, 16), mode="bilinear")
    taken, fine = labels[:, 2:14:4, 2:14:4].long(), pixels[..., 2:14:4, 2:14:4]
    scored = taken != 255
    expected = -fine.log_softmax(1).gather(1, taken.clamp(max=2)[:, None])[:, 0][scored].mean()
    labels[:, 14:] = 255
    labels[:, :, 14:] = 255
    assert segmentation_loss(logits, labels, 0.0, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_straight_edge_costs_the_same_on_either_side() -> None:
    """Logits that are symmetric about an edge between two pixels fit it, and its mirror image, equally well."""
    logits = torch.linspace(-3, 3, 8)[None, None, None].expand(1, 1, 8, 8)
    logits = torch.cat([-logits, logits], dim=1)
    labels = (torch.arange(32) >= 16).to(torch.uint8).expand(1, 32, 32)
    mirrored = segmentation_loss(logits.flip(-1), labels.flip(-1).contiguous(), 0.0, 0.0)
    assert segmentation_loss(logits, labels, 0.0, 0.0).item() == pytest.approx(mirrored.item(), abs=2e-3)


def test_lovasz_loss_of_sure_predictions_is_one_minus_iou() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 255]]])
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 2, 0, 1]]])
    sure = torch.nn.functional.one_hot(predicted, 4).movedim(-1, 1).float()
    ious = [2 / 4, 2 / 3, 1 / 2]
    assert lovasz_softmax(sure, labels).item() == pytest.approx(1 - sum(ious) / 3)


def test_on_corners_the_lovasz_loss_looks_at_every_second_cell_of_a_map_at_stride_2() -> None:
    logits, labels = torch.randn(2, 3, 17, 13), torch.randint(3, (2, 33, 25), dtype=torch.uint8)
    lovasz = segmentation_loss(logits, labels, 0.0, 1.0, True) - segmentation_loss(logits, labels, 0.0, 0.0, True)
    expected = lovasz_softmax(logits[..., ::2, ::2].softmax(1), labels[:, ::4, ::4].long())
    assert lovasz.item() == pytest.approx(expected.item(), abs=1e-5)


def test_void_alone_has_no_loss_but_a_gradient_that_can_be_taken() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = lovasz_softmax(logits.softmax(1), torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0


def test_learning_rate_warms_up_and_decays_to_zero() -> None:
    recipe = Recipe(warmup=10)
    assert learning_rate_factor(0, 100, recipe) == pytest.approx(0.1)
    assert learning_rate_factor(50, 100, recipe) == pytest.approx(0.5**0.9)
    assert learning_rate_factor(99, 100, recipe) == pytest.approx(0.01**0.9)


def test_a_run_of_few_steps_leaves_its_warm_up() -> None:
    """A few photos for a few epochs are 30 steps, the default's warm-up is 200."""
    factors = [learning_rate_factor(step, 30, Recipe()) for step in range(30)]
    assert max(factors) > 0.8
    assert sum(factors) > 0.4 * 30
    assert factors[0] < 0.2


@pytest.mark.parametrize("name", ["fcn_mobilenetv2", pytest.param("unet_mobilenetv2", marks=pytest.mark.slow)])
def test_training_lowers_the_loss(data_folder: Path, tmp_path: Path, name: str) -> None:
    recipe = Recipe(epochs=12, batch=2, crop=64, warmup=2, decoder_rate=3e-3, ema_decay=0.5)
    folders = [SegmentationFolder(data_folder, "train")]
    out = tmp_path / "weights.safetensors"
    train(registry.card(name), folders, out, recipe, workers=0)
    losses = _losses(out)
    assert losses[-1] < 0.6 * losses[0]
    assert (results_folder(out) / "curve.png").stat().st_size > 1000


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [SegmentationFolder(data_folder, "train")]
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train(registry.card("fcn_mobilenetv2"), folders, whole, TINY, workers=0)

    class Killed(Exception):
        pass

    step = Run.train_step

    def dying(run: Run, photos: torch.Tensor, labels: torch.Tensor) -> None:
        if run.step == 4:
            raise Killed
        if run.step == 2:
            run.save(parts.with_suffix(".checkpoint.pt"))
        step(run, photos, labels)

    monkeypatch.setattr(Run, "train_step", dying)
    with pytest.raises(Killed):
        train(registry.card("fcn_mobilenetv2"), folders, parts, TINY, workers=0)
    monkeypatch.setattr(Run, "train_step", step)
    train(registry.card("fcn_mobilenetv2"), folders, parts, TINY, resume=True, workers=0)
    assert _losses(parts) == pytest.approx(_losses(whole), rel=1e-3)
    first, second = load_file(whole), load_file(parts)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-2, atol=1e-4, msg=name)


def test_a_checkpoint_of_another_run_is_refused(data_folder: Path, tmp_path: Path) -> None:
    def run(name: str = "fcn_mobilenetv2", recipe: Recipe = TINY, start: str | None = None) -> None:
        folders = [SegmentationFolder(data_folder, "train")]
        train(registry.card(name), folders, out, recipe, start=start, resume=True, workers=0)

    out = tmp_path / "weights.safetensors"
    checkpoint = out.with_suffix(".checkpoint.pt")
    run()
    with pytest.raises(ValueError, match="another recipe"):
        run(recipe=Recipe(epochs=3, batch=2, crop=64))
    with pytest.raises(ValueError, match="another network"):
        run("unet_mobilenetv2")
    with pytest.raises(ValueError, match=r"another start \(random"):  # which the weights would be said to come from
        run(start="zoo")
    labels = data_folder / "labels" / "0.png"
    whole = labels.read_bytes()
    labels.write_bytes((data_folder / "labels" / "1.png").read_bytes())
    with pytest.raises(ValueError, match="another data set"):
        run()
    labels.write_bytes(whole)
    run()
    for damaged in (b"", b"text", checkpoint.read_bytes()[:1000]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ValueError, match="no checkpoint that can be read"):
            run()


def test_a_full_disk_stops_no_run_and_costs_no_checkpoint(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full from the second checkpoint on: the first is kept, and after the sentence at the end the run goes on from it."""
    folders, out = [SegmentationFolder(data_folder, "train")], tmp_path / "weights.safetensors"
    saved, before = Run.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def save(run: Run, path: Path) -> None:
        if run.step > 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # bytes of a file, as if there were no room
        saved(run, path)

    monkeypatch.setattr(Run, "save", save)
    try:
        with pytest.raises(OSError, match="cannot be written"):
            train(registry.card("fcn_mobilenetv2"), folders, out, TINY, workers=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the checkpoint before this one is kept" in capsys.readouterr().err
    assert torch.load(out.with_suffix(".checkpoint.pt"), weights_only=True)["step"] == 3
    assert not out.exists()
    monkeypatch.setattr(Run, "save", saved)
    train(registry.card("fcn_mobilenetv2"), folders, out, TINY, resume=True, workers=0)
    assert len(_losses(out)) == 2


def test_a_full_disk_is_called_so_whatever_the_library_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept"
    file.write_text("before")
    monkeypatch.setattr("segmodels.files.disk_usage", lambda folder: SimpleNamespace(free=4096))

    def write() -> None:
        with atomic_write(file) as partial:
            partial.write_text("half of it")
            raise RuntimeError("unexpected pos 5391232 vs 5391120")

    with pytest.raises(OSError, match="kept cannot be written: the disk is full"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert file.read_text() == "before"


@pytest.mark.parametrize(
    "setting",
    [
        "epochs=0",
        "batch=0",
        "crop=0",
        "crop=-384",
        "warmup=-1",
        "decoder_rate=nan",
        "ema_decay=1",
        "seed=-1",
        "batch=1e9",
    ],
)
def test_settings_that_no_run_can_have_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=setting.partition("=")[0]):
        Recipe.of([setting])


def test_no_warm_up_starts_at_the_full_rate() -> None:
    assert learning_rate_factor(0, 100, Recipe.of(["warmup=0"])) == 1


@pytest.mark.parametrize("name", registry.compact_models())
def test_an_aspp_needs_two_photos(data_folder: Path, tmp_path: Path, name: str) -> None:
    folders, out = [SegmentationFolder(data_folder, "train")], tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match="2 or more"):
        train(registry.card(name), folders, out, replace(TINY, batch=1), workers=0)


@pytest.mark.parametrize("name", ["fcn_resnet50", "unet_resnet18"])
def test_what_is_trained_on_small_photos_is_validated_as_small(name: str) -> None:
    card = registry.card(name)
    smaller, recipe = start.fitted_to(96, card, Recipe())
    assert recipe.crop == 96
    align_corners = registry.build_meta(name).align_corners
    seen, usual = (
        network_input_size(smaller, align_corners, (96, 72)),
        network_input_size(card, align_corners, (96, 72)),
    )
    assert seen == pytest.approx([side * 96 / Recipe().crop for side in usual], abs=9)  # or to whole cells


def test_another_networks_backbone_can_be_the_start(data_folder: Path, tmp_path: Path) -> None:
    folders, file = [SegmentationFolder(data_folder, "train")], tmp_path / "start.safetensors"
    train(registry.card("fcn_mobilenetv2"), folders, file, TINY, workers=0)
    network = registry.build("unet_mobilenetv2")
    pretrained.start_from(network, registry.card("unet_mobilenetv2"), file)
    given = load_file(file)
    own = network.state_dict()
    assert all(torch.equal(own[name], given[name].float()) for name in own if name.startswith("backbone."))


def test_frozen_stages_stay_as_they_started(data_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(TINY.seed)
    before = registry.build("fcn_mobilenetv2").state_dict()
    out = tmp_path / "weights.safetensors"
    train(registry.card("fcn_mobilenetv2"), [SegmentationFolder(data_folder, "train")], out, TINY, workers=0)
    after = load_file(out)
    assert torch.equal(after["backbone.stem.0.weight"], before["backbone.stem.0.weight"].half())
    assert not torch.equal(
        after["backbone.stages.4.0.project.weight"], before["backbone.stages.4.0.project.weight"].half()
    )


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [(Recipe(atrous_rate=-3), "whole number"), (Recipe(output_stride=7), "8, 16 or 32")],
)
def test_settings_that_a_network_cannot_have_are_refused(
    data_folder: Path, tmp_path: Path, recipe: Recipe, sentence: str
) -> None:
    folders, out = [SegmentationFolder(data_folder, "train")], tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match=sentence):
        train(registry.card("deeplabv3_mobilenetv2"), folders, out, recipe)
    with pytest.raises(ValueError, match="fcn_mobilenetv2 has no"):
        train(registry.card("fcn_mobilenetv2"), folders, out, recipe)


@pytest.mark.parametrize("name", ["unet_resnet18", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_classifiers_are_the_start_of_the_networks_built_on_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone's last map is then the one that the classifier pools."""
    card = registry.card(name)
    assert card.classifier is not None
    classifier = torchvision.models.get_model(card.classifier, weights=None).eval()
    randomise_norms(classifier)
    torch.save(classifier.state_dict(), tmp_path / "classifier.pth")
    monkeypatch.setattr(published, "classifier_file", lambda name: tmp_path / "classifier.pth")
    network = registry.build(name).eval()
    assert card.classifier in pretrained.start_from(network, card, None)
    network.backbone.set_output_stride(32)
    last_map = []
    classifier.avgpool.register_forward_pre_hook(lambda _, inputs: last_map.append(inputs[0]))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        classifier(x)
        ours = network.encode(x)[-1]
    if name != "deeplabv3_mobilenet_v3_large":  # its last block is dilated at every stride, as torchvision trained it
        torch.testing.assert_close(ours, last_map[0], rtol=1e-4, atol=1e-4)
    assert ours.shape == last_map[0].shape


def test_without_a_connection_training_starts_random_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(name: str) -> Path:
        raise FetchError("there is no connection")

    monkeypatch.setattr(published, "classifier_file", unreachable)
    card = registry.card("unet_resnet18")
    assert pretrained.start_from(registry.build(card.name), card, None) == "random"
    assert "there is no connection" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_as_one_does(data_folder: Path, tmp_path: Path) -> None:
    """Half the batch each, the same losses and weights; without void, so that every crop has as many scored pixels."""
    for file in (data_folder / "labels").iterdir():
        with Image.open(file) as image:
            labels = np.array(image)
        labels[labels == 255] = 0
        Image.fromarray(labels).save(file)
    outs = [tmp_path / f"{size}.safetensors" for size in (1, 2)]
    for size, out in zip((1, 2), outs, strict=True):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        command = [*launch, "-m", "tests.training.train_together", str(data_folder), str(out)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert _losses(outs[1]) == pytest.approx(_losses(outs[0]), rel=1e-3)
    alone, together = (load_file(out) for out in outs)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-2, atol=2e-3, msg=name)


def test_a_batch_that_cannot_be_shared_equally_is_refused(data_folder: Path) -> None:
    team = Team(torch.device("cpu"), size=3)
    folders = [SegmentationFolder(data_folder, "train")]
    with pytest.raises(ValueError, match="shared equally by 3"):
        Run(registry.build("fcn_mobilenetv2"), folders, Recipe(batch=8), 21, lambda photos: photos, team)


def test_a_recipe_can_be_changed_setting_by_setting() -> None:
    assert Recipe.of(["batch=4", "ema_decay=0.9"]) == Recipe(batch=4, ema_decay=0.9)
    with pytest.raises(ValueError, match="no setting 'size'"):
        Recipe.of(["size=4"])
    with pytest.raises(ValueError, match="batch must be a number"):
        Recipe.of(["batch=many"])


def test_weights_are_written_as_safetensors_only(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="safetensors"):
        train(
            registry.card("fcn_mobilenetv2"), [SegmentationFolder(data_folder, "train")], tmp_path / "weights.pt", TINY
        )
