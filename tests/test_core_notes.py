"""Notes on the rules of a model: dense layers on the input under RevealCancel, and `detach`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

pytestmark = pytest.mark.quick

DENSE = "RevealCancel follows a dense layer that reads the input itself"


def x() -> Tensor:
    letters = torch.randint(4, (3, 10), generator=torch.Generator().manual_seed(0))
    return nn.functional.one_hot(letters, 4).mT.float()


class Forward(nn.Module):
    """A dense layer and a convolution, put together by a function."""

    def __init__(self, forward: Callable[["Forward", Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Linear(40, 6)
        self.second = nn.Linear(6, 2)
        self.convolution = nn.Conv1d(4, 6, 10)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def notes(forward: Callable[[Forward, Tensor], Tensor], rule: str = "genomics-default") -> list[str]:
    return DeepLift(Forward(forward), x(), rule=rule).notes


def dense(model: Forward, x: Tensor) -> Tensor:
    return model.second(torch.relu(model.first(x.flatten(1))))


def scaled(model: Forward, x: Tensor) -> Tensor:
    return model.second(torch.relu(2 * model.first(x.mT.flatten(1) - 0.25)))


def convolved(model: Forward, x: Tensor) -> Tensor:
    features = torch.relu(model.convolution(x)).flatten(1)
    return torch.relu(model.second(features))


@pytest.mark.parametrize("forward", [dense, scaled])
@pytest.mark.parametrize("rule", ["genomics-default", "revealcancel", "revealcancel-positive-first"])
def test_a_network_dense_from_end_to_end_is_noted(
    forward: Callable[[Forward, Tensor], Tensor], rule: str
) -> None:
    (note,) = notes(forward, rule)
    assert note.startswith(f"{DENSE} (first);")
    assert "rescale" in note


@pytest.mark.parametrize("rule", ["rescale", "gradient", "integrated-gradients"])
def test_nothing_is_noted_where_revealcancel_is_not_used(rule: str) -> None:
    assert notes(dense, rule) == []


def test_a_dense_layer_behind_a_convolution_is_not_noted() -> None:
    assert notes(convolved) == []


def test_a_branch_that_is_dense_on_the_input_is_noted() -> None:
    def both(model: Forward, x: Tensor) -> Tensor:
        return dense(model, x) + convolved(model, x)

    assert notes(both)[0].startswith(f"{DENSE} (first);")


def test_detach_is_passed_through_and_noted() -> None:
    def cut(model: Forward, x: Tensor) -> Tensor:
        return model.second(torch.relu(model.convolution(x)).detach().flatten(1))

    (note,) = notes(cut)
    assert note.startswith("detach() (")
    assert "test_core_notes.py:" in note
    result = DeepLift(Forward(cut), x()).attribute(x(), x().flip(-1).unsqueeze(1))
    assert result.contributions.abs().sum() > 0
    assert result.completeness_error.abs().max() < 1e-5


def test_notes_under_another_rule_need_no_new_recording() -> None:
    explainer = DeepLift(Forward(dense), x(), rule="rescale")
    assert explainer.notes == []
    assert len(explainer.notes_under("revealcancel")) == 1
    assert explainer.notes_under("revealcancel", {"*": "rescale"}) == []
