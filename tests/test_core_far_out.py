"""RevealCancel evaluates activations beyond reference and input: which get the rule, and what overflows.

And, for functions of three quantities, the multiplier of a quantity that did not change.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

D = torch.float64

WITH_POLES_OR_FASTER_THAN_LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "reciprocal": lambda u: 1 / u,
    "reciprocal of a difference": lambda u: 1 / (u - 0.3),
    "power -1 of a difference": lambda u: (u - 0.3) ** -1,
    "quotient of affine functions": lambda u: (u + 2) / (u - 0.3),
    "pole between probes": lambda u: 1 / (u * 3 - 1.234),
    "square": lambda u: u * u,
    "cube": lambda u: u**3,
    "exponential": torch.exp,
}
LINEAR_FAR_OUT: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda u: u * torch.sigmoid(u),
    "bounded": lambda u: 1 / (1 + u * u),
    "softplus": lambda u: torch.log(1 + torch.exp(u)),
    "softsign": lambda u: u / (1 + u.abs()),
}


class Model(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense, self.last = nn.Linear(6, 5), nn.Linear(5, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.dense(x)))


def rules_given(function: Callable[[Tensor], Tensor]) -> set[str]:
    nodes = DeepLift(Model(function).double(), torch.zeros(2, 6, dtype=D), rule="revealcancel").nodes
    return {node.rule for node in nodes} & {"rescale", "revealcancel"}


@pytest.mark.parametrize("name", WITH_POLES_OR_FASTER_THAN_LINEAR)
def test_functions_with_poles_or_faster_growth_get_rescale(name: str) -> None:
    assert rules_given(WITH_POLES_OR_FASTER_THAN_LINEAR[name]) == {"rescale"}


@pytest.mark.parametrize("name", LINEAR_FAR_OUT)
def test_functions_of_linear_growth_get_revealcancel(name: str) -> None:
    assert rules_given(LINEAR_FAR_OUT[name]) == {"revealcancel"}


@pytest.mark.parametrize("rule", ["revealcancel", "revealcancel-positive-first"])
def test_parts_beyond_what_an_activation_can_be_evaluated_at_keep_scores_finite(rule: str) -> None:
    """log(1 + exp(u)) is infinite in float32 from 89 on; P is 200 and more here."""
    model = Model(LINEAR_FAR_OUT["softplus"])
    with torch.no_grad():
        model.dense.weight.copy_(torch.tensor([[1.0, -1.0, 0, 0, 0.5, -0.5]]).expand(5, 6) * 200)
    x = torch.tensor([[1.0, 1.0, 0.3, 0.2, 0.504, 0.5], [2.0, 1.99, 0.0, 0.2, 0.5, 0.5]])
    result = DeepLift(model, x, rule=rule).attribute(x, torch.zeros(2, 1, 6))
    assert result.contributions.isfinite().all()
    assert result.multipliers.isfinite().all()
    delta = (result.output[:, None] - result.reference_output).abs()
    assert delta.min() > 1e-3
    assert (result.completeness_error.abs() <= 1e-4 * delta).all()


class Chosen(nn.Module):
    """a where c is positive, b elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = x.split(1, 1)
        return torch.where(c > 0, a, b)


@pytest.mark.parametrize(
    ("c", "expected"), [((-1.0, 1.0), 1 / 2), ((1.0, -1.0), 1 / 2), ((1.0, 2.0), 1.0), ((-1.0, -2.0), 0.0)]
)
@pytest.mark.parametrize("b", [(0.5, 0.5), (0.5, 2.0)])
def test_an_unchanged_value_that_a_mask_chooses_gets_its_mean_slope(
    b: tuple[float, float], c: tuple[float, float], expected: float
) -> None:
    """The slope is the mask, 0 or 1; where the mask flips, half of all orders have flipped it before."""
    reference, x = (torch.tensor([[0.7, b[side], c[side]]], dtype=D) for side in (0, 1))
    result = DeepLift(Chosen(), rule="rescale").attribute(x, reference[:, None])
    assert float(result.multipliers[0, 0]) == pytest.approx(expected, abs=1e-12)
    assert result.completeness_error.abs().max() < 1e-12
