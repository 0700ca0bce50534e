"""Summation-to-delta is kept in float32 too, where contributions cancel to far less than their size."""

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.completeness import TOLERANCE, relative_error


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
def test_rows_beyond_the_tolerance_come_from_float64(
    case: tuple[nn.Module, Tensor, Tensor], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 1.0)
    plain = DeepLift(model, x[:8], rule=rule).attribute(x, references, 1)
    worst = relative_error(plain.completeness_error, plain.output, plain.reference_output).amax(1)
    tight = float(worst.median())
    missed = worst > tight

    monkeypatch.setitem(TOLERANCE, torch.float32, tight)
    kept = DeepLift(model, x[:8], rule=rule).attribute(x, references, 1)
    exact = DeepLift(model, x[:8], rule=rule, dtype=torch.float64).attribute(x, references, 1)
    assert kept.contributions.dtype == torch.float32
    for name in ("contributions", "hypothetical", "multipliers", "output", "reference_output", "prediction"):
        mended, given = getattr(kept, name), getattr(plain, name)
        assert torch.equal(mended[missed], getattr(exact, name)[missed].float()), name
        assert torch.equal(mended[~missed], given[~missed]), name
    error = relative_error(kept.completeness_error, kept.output, kept.reference_output)
    assert float(error[missed].max()) < 1e-12
    assert float(error.max()) <= tight


def test_inner_layers_and_further_targets_have_a_twin_too(
    case: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case
    monkeypatch.setitem(TOLERANCE, torch.float32, 0.0)
    explainer = DeepLift(model, x[:8])
    exact = DeepLift(model, x[:8], dtype=torch.float64)
    for target in (0, ("3", 5), lambda output: output[:, 0] - 2 * output[:, 1]):
        for layer in (None, "0", "1"):
            ours = explainer.attribute(x, references, target, layer=layer)
            theirs = exact.attribute(x, references, target, layer=layer)
            torch.testing.assert_close(ours.contributions, theirs.contributions.float(), rtol=0, atol=0)


def test_relative_error_by_hand() -> None:
    error = torch.tensor([[0.0, -0.5, 1e-3]])
    reference = torch.tensor([[3.0, 2.0, 3.0]])
    found = relative_error(error, torch.tensor([3.0]), reference)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 1e-3 / 0.03]], dtype=torch.float64))
    nothing = relative_error(torch.tensor([[0.0, 0.1]]), torch.zeros(1), torch.zeros(1, 2))
    assert nothing.tolist() == [[0.0, float("inf")]]
    assert relative_error(torch.tensor([[0.0]]), torch.tensor([float("nan")]), torch.ones(1, 1)).isnan().all()
