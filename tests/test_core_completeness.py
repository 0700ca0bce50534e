"""Summation-to-delta is kept in float32 too, where contributions cancel to far less than their size."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.completeness import TOLERANCE, relative_error
from deeplift_core.results import Attribution
from deeplift_core.steps import Steps


def cancelling_model() -> nn.Module:
    """Large weights of both signs: hundreds of contributions of some units sum to nearly nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 8, 5, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 60, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
        model[5].bias.zero_()
    return model


def one_hot(*shape: int) -> Tensor:
    return nn.functional.one_hot(torch.randint(4, (*shape, 60)), 4).mT.float()


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    model = cancelling_model()
    x, references = one_hot(24), one_hot(24, 4)
    with torch.no_grad():  # the explained output of every row is nearly 0, as that of its reference may be
        model[5].bias -= model(x).mean(0)
    return model, x, references


@pytest.mark.parametrize("rule", ["rescale", "genomics-default"])
def test_pairs_beyond_the_tolerance_come_from_float64(
    case: tuple[nn.Module, Tensor, Tensor], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)

    def scored(dtype: torch.dtype) -> Attribution:
        explainer = DeepLift(model, x[:8], rule=rule, dtype=dtype)
        return explainer.attribute(x, references, 1, per_reference=True)

    plain = scored(torch.float32)
    before = relative_error(plain.completeness_error, plain.output, plain.reference_output)
    tight = float(before.median())
    monkeypatch.setitem(TOLERANCE, torch.float32, tight)
    kept, exact = scored(torch.float32), scored(torch.float64)
    assert kept.contributions.dtype == torch.float32
    missed = before > tight
    # An output of its own in float64 puts a few more pairs of its row beyond.
    changed = (kept.contributions != plain.contributions).any(-1).any(-1)
    assert changed[missed].all()
    assert changed.sum() < 1.2 * missed.sum()
    for name in ("contributions", "hypothetical", "multipliers", "reference_output"):
        mended, given = getattr(kept, name), getattr(plain, name)
        assert torch.equal(mended[changed], getattr(exact, name)[changed].float()), name
        assert torch.equal(mended[~changed], given[~changed]), name
    for name in ("output", "prediction"):
        assert torch.equal(getattr(kept, name)[missed.any(1)], getattr(exact, name)[missed.any(1)].float())
    error = relative_error(kept.completeness_error, kept.output, kept.reference_output)
    assert float(error[changed].max()) < 1e-12
    assert float(error.max()) <= tight


def test_only_pairs_beyond_the_tolerance_are_scored_again(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pair in a batch costs one batch against one reference, not against all."""
    model, x, references = case
    calls = []
    forward = Steps.forward
    monkeypatch.setattr(Steps, "forward", lambda self, given: calls.append(given[0]) or forward(self, given))
    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)
    DeepLift(model, x[:8]).attribute(x[:8], references[:8], 1)
    assert len(calls) == 1 + 4
    calls.clear()
    monkeypatch.setattr("deeplift_core.mending._beyond", _first_and_last)
    DeepLift(model, x[:8]).attribute(x[:8], references[:8], 1)
    assert [given.dtype for given in calls] == [torch.float32] * 5 + [torch.float64] * 2
    assert torch.equal(calls[-2][:2], x[[0, 7]].double())
    assert torch.equal(calls[-1][:2], torch.stack([references[0, 0], references[7, 3]]).double())


def _first_and_last(output: Tensor, pairs: Sequence[Any]) -> Tensor:
    beyond = torch.zeros(len(output), len(pairs), dtype=torch.bool)
    beyond[0, 0] = beyond[-1, -1] = True
    return beyond


def test_inner_layers_and_further_targets_have_a_twin_too(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 0.0)
    explainer = DeepLift(model, x[:8])
    exact = DeepLift(model, x[:8], dtype=torch.float64)
    for target in (0, ("3", 5), lambda output: output[:, 0] - 2 * output[:, 1]):
        for layer in (None, "0", "1"):
            ours = explainer.attribute(x, references, target, layer=layer, per_reference=True)
            theirs = exact.attribute(x, references, target, layer=layer, per_reference=True)
            torch.testing.assert_close(ours.contributions, theirs.contributions.float(), rtol=0, atol=0)


def test_relative_error_by_hand() -> None:
    error = torch.tensor([[0.0, -0.5, 1e-3]])
    reference = torch.tensor([[3.0, 2.0, 3.0]])
    found = relative_error(error, torch.tensor([3.0]), reference)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 1e-3 / 0.03]], dtype=torch.float64))
    nothing = relative_error(torch.tensor([[0.0, 0.1]]), torch.zeros(1), torch.zeros(1, 2))
    assert nothing.tolist() == [[0.0, float("inf")]]
    assert relative_error(torch.tensor([[0.0]]), torch.tensor([float("nan")]), torch.ones(1, 1)).isnan().all()
