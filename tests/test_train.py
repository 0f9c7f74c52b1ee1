import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

import segmodels
from segmodels import zoo
from segmodels.networks import published
from segmodels.segmenter import Segmenter
from segmodels.training import start
from segmodels.training.data import SegmentationFolder
from segmodels.training.loss import lovasz_softmax, segmentation_loss
from segmodels.training.recipe import Recipe
from segmodels.training.run import Run, learning_rate_factor
from segmodels.training.team import Team
from segmodels.training.train import train
from segmodels.weights import FetchError, load_state

from .helpers import randomise_norms

TINY = Recipe(epochs=2, batch=2, crop=64, warmup=2)


def _losses(out: Path) -> list[float]:
    """The loss of every epoch, from the log beside the weights."""
    return [row["loss"] for row in json.loads(out.with_suffix(".log.json").read_text())["history"]]


@pytest.fixture(autouse=True)
def random_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ImageNet weights: they come with a package that is needed for training only."""
    monkeypatch.setattr(start, "load_imagenet", lambda backbone, head: None)


def test_loss_of_coarse_logits_is_that_of_cells_at_stride_4() -> None:
    logits = torch.randn(2, 3, 4, 4)
    labels = torch.randint(3, (2, 16, 16), dtype=torch.uint8)
    labels[:, :4] = 255
    centres = labels[:, 2::4, 2::4].long()
    scored = centres != 255
    expected = -logits.log_softmax(1).gather(1, centres.clamp(max=2)[:, None])[:, 0][scored].mean()
    assert segmentation_loss(logits, labels, 0.0, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_lovasz_loss_of_sure_predictions_is_one_minus_iou() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 255]]])
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 2, 0, 1]]])
    sure = torch.nn.functional.one_hot(predicted, 4).movedim(-1, 1).float()
    ious = [2 / 4, 2 / 3, 1 / 2]
    assert lovasz_softmax(sure, labels).item() == pytest.approx(1 - sum(ious) / 3)


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


@pytest.mark.parametrize("name", ["fcn_lite0", "unet_lite0"])
def test_training_lowers_the_loss(data_folder: Path, tmp_path: Path, name: str) -> None:
    recipe = Recipe(epochs=12, batch=2, crop=64, warmup=2, decoder_rate=3e-3, ema_decay=0.5)
    folders = [SegmentationFolder(data_folder, "train")]
    out = tmp_path / "weights.safetensors"
    train(zoo.card(name), folders, out, recipe, workers=0)
    losses = _losses(out)
    assert losses[-1] < 0.6 * losses[0]
    assert out.with_suffix(".png").stat().st_size > 1000


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [SegmentationFolder(data_folder, "train")]
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train(zoo.card("fcn_lite0"), folders, whole, TINY, workers=0)

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
        train(zoo.card("fcn_lite0"), folders, parts, TINY, workers=0)
    monkeypatch.setattr(Run, "train_step", step)
    train(zoo.card("fcn_lite0"), folders, parts, TINY, resume=True, workers=0)
    assert _losses(parts) == pytest.approx(_losses(whole), rel=1e-3)
    first, second = load_file(whole), load_file(parts)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-2, atol=1e-4, msg=name)


def test_a_checkpoint_of_another_recipe_is_refused(data_folder: Path, tmp_path: Path) -> None:
    folders, out = [SegmentationFolder(data_folder, "train")], tmp_path / "weights.safetensors"
    train(zoo.card("fcn_lite0"), folders, out, TINY, workers=0)
    with pytest.raises(ValueError, match="another recipe"):
        train(zoo.card("fcn_lite0"), folders, out, Recipe(epochs=3, batch=2, crop=64), resume=True, workers=0)


def test_another_networks_backbone_can_be_the_start(data_folder: Path, tmp_path: Path) -> None:
    folders, file = [SegmentationFolder(data_folder, "train")], tmp_path / "start.safetensors"
    train(zoo.card("fcn_lite0"), folders, file, TINY, workers=0)
    network = zoo.build("unet_lite0")
    start.start_from(network, zoo.card("unet_lite0"), file)
    given = load_file(file)
    own = network.state_dict()
    assert all(torch.equal(own[name], given[name].float()) for name in own if name.startswith("backbone."))


def test_frozen_stages_stay_as_they_started(data_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(TINY.seed)
    before = zoo.build("fcn_lite0").state_dict()
    out = tmp_path / "weights.safetensors"
    train(zoo.card("fcn_lite0"), [SegmentationFolder(data_folder, "train")], out, TINY, workers=0)
    after = load_file(out)
    assert torch.equal(after["backbone.stem.0.weight"], before["backbone.stem.0.weight"].half())
    assert not torch.equal(
        after["backbone.stages.4.0.project.weight"], before["backbone.stages.4.0.project.weight"].half()
    )


def test_a_decoder_trained_on_a_frozen_backbone_is_written_alone_and_goes_with_the_bundled_one(
    data_folder: Path, tmp_path: Path, cat: Image.Image
) -> None:
    bundled = load_file(zoo.card("deeplabv3_lite0").weights_file())
    out = tmp_path / "rate3.safetensors"
    recipe = replace(TINY, backbone_rate=0, atrous_rate=3, output_stride=8, crop=32)
    folders = [SegmentationFolder(data_folder, "train")]
    train(zoo.card("deeplabv3_lite0"), folders, out, recipe, start=zoo.WEIGHTS / "fcn_lite0.safetensors", workers=0)
    trained = load_file(out)
    assert set(trained) == {name for name in bundled if name.startswith("decoder.")}
    segmenter = segmodels.load("deeplabv3_lite0", weights=out, precision="float32")
    network = segmodels.build("deeplabv3_lite0")
    load_state(network, bundled | trained)
    expected = Segmenter(network, zoo.card("deeplabv3_lite0"), precision="float32")(cat, 3, 8)
    assert (segmenter(cat, 3, 8).labels == expected.labels).all()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [(Recipe(atrous_rate=-3), "whole number"), (Recipe(output_stride=7), "8, 16 or 32")],
)
def test_settings_that_a_network_cannot_have_are_refused(
    data_folder: Path, tmp_path: Path, recipe: Recipe, sentence: str
) -> None:
    folders, out = [SegmentationFolder(data_folder, "train")], tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match=sentence):
        train(zoo.card("deeplabv3_lite0"), folders, out, recipe)
    with pytest.raises(ValueError, match="fcn_lite0 has no"):
        train(zoo.card("fcn_lite0"), folders, out, recipe)


@pytest.mark.parametrize("name", ["unet_resnet18", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_classifiers_are_the_start_of_the_networks_built_on_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone's last map is then the one that the classifier pools."""
    card = zoo.card(name)
    assert card.classifier is not None
    classifier = torchvision.models.get_model(card.classifier, weights=None).eval()
    randomise_norms(classifier)
    torch.save(classifier.state_dict(), tmp_path / "classifier.pth")
    monkeypatch.setattr(published, "classifier_file", lambda name: tmp_path / "classifier.pth")
    network = zoo.build(name).eval()
    assert card.classifier in start.start_from(network, card, None)
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
    card = zoo.card("unet_resnet18")
    assert start.start_from(zoo.build(card.name), card, None) == "random"
    assert "there is no connection" in capsys.readouterr().err


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
        command = [*launch, "-m", "tests.train_together", str(data_folder), str(out)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert _losses(outs[1]) == pytest.approx(_losses(outs[0]), rel=1e-3)
    alone, together = (load_file(out) for out in outs)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-2, atol=2e-3, msg=name)


def test_a_batch_that_cannot_be_shared_equally_is_refused(data_folder: Path) -> None:
    team = Team(torch.device("cpu"), size=3)
    folders = [SegmentationFolder(data_folder, "train")]
    with pytest.raises(ValueError, match="shared equally by 3"):
        Run(zoo.build("fcn_lite0"), folders, Recipe(batch=8), 21, lambda photos: photos, team)


def test_a_recipe_can_be_changed_setting_by_setting() -> None:
    assert Recipe.of(["batch=4", "ema_decay=0.9"]) == Recipe(batch=4, ema_decay=0.9)
    with pytest.raises(ValueError, match="no setting 'size'"):
        Recipe.of(["size=4"])
    with pytest.raises(ValueError, match="batch must be a number"):
        Recipe.of(["batch=many"])


def test_weights_are_written_as_safetensors_only(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="safetensors"):
        train(zoo.card("fcn_lite0"), [SegmentationFolder(data_folder, "train")], tmp_path / "weights.pt", TINY)
