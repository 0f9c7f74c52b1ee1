"""Part of the 1x1 branch's say goes over to the atrous branches."""

import pytest
import torch
from torch import Tensor

from segmodels.models.heads import ASPP
from segmodels.training.handover import hand_over, hint_loss, rareness


@pytest.fixture
def aspp() -> ASPP:
    torch.manual_seed(0)
    return ASPP(8, 6, (1, 2, 3), dropout=0.0, atrous_width=4).eval()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))


def test_what_learns_are_the_atrous_branches_and_their_columns(aspp: ASPP, features: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in aspp.state_dict().items()}
    optimizer = torch.optim.Adam(hand_over(aspp, 0.25), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        aspp(features).square().mean().backward()
        optimizer.step()
    after = aspp.state_dict()
    torch.testing.assert_close(after["project.0.weight"][:, :6], 0.75 * before["project.0.weight"][:, :6])
    torch.testing.assert_close(after["project.0.weight"][:, -6:], before["project.0.weight"][:, -6:], rtol=0, atol=0)
    assert not torch.equal(after["project.0.weight"][:, 6:-6], before["project.0.weight"][:, 6:-6])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in changed if name.startswith("convs")} == {"1", "2", "3"}
    assert {name for name in changed if name.startswith("project")} == {"project.0.weight", "project.1.bias"}


def test_the_atrous_branches_learn_what_was_taken(aspp: ASPP, features: Tensor) -> None:
    target = aspp(features).detach()
    everywhere = torch.ones(2, 1, 9, 9)
    optimizer = torch.optim.Adam(hand_over(aspp, 0.5), 0.01)
    at_first = hint_loss(aspp(features), target, everywhere).item()
    for _ in range(60):
        loss = hint_loss(aspp(features), target, everywhere)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert hint_loss(aspp(features), target, everywhere).item() < at_first / 5


def test_the_distance_is_in_parts_of_the_target_s_square() -> None:
    target = torch.tensor([[[[3.0, 1.0]], [[4.0, 0.0]]]])  # two maps of one row of two cells
    maps = torch.tensor([[[[3.0, 0.0]], [[2.0, 0.0]]]])
    assert hint_loss(maps, target, torch.tensor([[[[1.0, 1.0]]]])).item() == pytest.approx((4 + 1) / (25 + 1))
    assert hint_loss(maps, target, torch.tensor([[[[0.0, 1.0]]]])).item() == pytest.approx(1.0)


def test_rare_classes_count_more() -> None:
    classes = torch.tensor([0] * 900 + [1] * 100 + [2]).reshape(1, 7, 143)
    torch.testing.assert_close(rareness(classes, 4), torch.tensor([1.0, 3.0, 12.0, 12.0]))


def test_what_cannot_be_handed_over() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hand_over(ASPP(8, 6, (1, 2, 3)), 1.5)
    with pytest.raises(ValueError, match="nobody"):
        hand_over(ASPP(8, 6, ()), 0.5)
