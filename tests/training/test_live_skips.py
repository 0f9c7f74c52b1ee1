"""Skips that are trained while one watches: what they compute, and that they learn."""

import pytest
import torch

from segmodels import Segmenter, load, read_photo
from segmodels.models.fcn import fcn_mobilenetv2
from segmodels.training import live_skips
from segmodels.training.live_skips import Lesson, SkipInputs, SkipTraining

from ..conftest import EXAMPLES


@pytest.fixture(scope="module")
def networks() -> tuple[Segmenter, Segmenter]:
    return load("fcn_mobilenetv2"), load("deeplabv3_mobilenetv2_google")


def lessons_of(networks: tuple[Segmenter, Segmenter], *names: str) -> list[Lesson]:
    return [lesson for name in names for lesson in Lesson.all_of(*networks, read_photo(EXAMPLES / f"{name}.jpg").image)]


@pytest.fixture(scope="module")
def lessons(networks: tuple[Segmenter, Segmenter]) -> list[Lesson]:
    return lessons_of(networks, "raft", "hug")  # a seed decides which comes first


def test_the_answer_is_the_decoders() -> None:
    torch.manual_seed(0)
    network = fcn_mobilenetv2().eval()
    with torch.inference_mode():
        maps = network.encode(torch.randn(1, 3, 97, 129))
        expected = network.decoder.all_strides(maps)
    inputs = SkipInputs(expected[32].clone(), {16: maps[-2].clone(), 8: maps[-3].clone()})
    training = SkipTraining([Lesson(inputs, expected[8].softmax(1))], seed=0)
    training._skips.load_state_dict(network.decoder.skip_scores.state_dict())
    torch.testing.assert_close(training.logits(inputs), expected[8][0])


@pytest.mark.slow
def test_a_photo_that_it_has_not_seen_gets_the_teachers_edges(networks: tuple[Segmenter, Segmenter]) -> None:
    lessons = lessons_of(networks, "raft", "rider", "hug", "parrots", "bear", "boats")
    unseen = Lesson.of(*networks, read_photo(EXAMPLES / "dogs.jpg").image)
    target = unseen.target[0].argmax(0)
    coarse = torch.nn.functional.interpolate(unseen.inputs.scores, target.shape, mode="bilinear", align_corners=True)[
        0
    ].argmax(0)
    training = SkipTraining(lessons, seed=1)
    for _ in range(80):
        training.step()
    learned = training.logits(unseen.inputs).argmax(0)
    assert (learned != target).sum() < 0.8 * (coarse != target).sum()
    assert sum(training.losses[-10:]) < 0.5 * sum(training.losses[:10])


def test_a_seed_decides_a_run_and_nothing_else_does(lessons: list[Lesson]) -> None:
    losses: list[list[float]] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(losses))
        training = SkipTraining(lessons, seed)
        for _ in range(3):
            training.step()
        losses.append(training.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(losses[2], rel=1e-2)


def test_it_ends(lessons: list[Lesson], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_skips, "STEPS", 2)
    training = SkipTraining(lessons, 0)
    training.step()
    assert not training.done
    training.step()
    assert training.done
