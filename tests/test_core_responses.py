"""Activations that fall as well as rise: a negative response swaps m+ with m-, as written out here in numpy.

The network is z = x + f(W x + b), y = v . g(z): a residual sum lies between the two activations, so that
m+ and m- of f's output differ. Everything is computed one number at a time from the formulas of the paper
(sections 3.2 to 3.5): parts of the input by the sign of its difference, the linear rule, RevealCancel or
Rescale, and sums part by part.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.rules import Multipliers

SIZE = 7
Function = Callable[[float], float]

FALLING: dict[str, tuple[Callable[[Tensor], Tensor], Function]] = {
    "gelu": (F.gelu, lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2),
    "silu": (F.silu, lambda u: u / (1 + math.exp(-u))),
    "abs": (torch.abs, abs),
    "x tanh x": (lambda u: u * torch.tanh(u), lambda u: u * math.tanh(u)),
    "negative relu": (lambda u: -torch.relu(u), lambda u: -max(u, 0.0)),
}
SECOND: dict[str, tuple[Callable[[Tensor], Tensor], Function]] = {
    "relu": (F.relu, lambda u: max(u, 0.0)),
    "softplus": (F.softplus, lambda u: math.log1p(math.exp(u))),
}
RULES = ["rescale", "revealcancel", "revealcancel-positive-first"]


class Applied(nn.Module):
    """A module of its own for a function, so that a layer rule can name it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, u: Tensor) -> Tensor:
        return self.function(u)


class Residual(nn.Module):
    def __init__(self, seed: int, f: Callable[[Tensor], Tensor], g: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.dense, self.last = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 1, bias=False)
        with torch.no_grad():
            self.dense.bias.sub_(1.5)  # to where smooth activations turn round
        self.f, self.g = Applied(f), Applied(g)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.g(x + self.f(self.dense(x))))


def responses(function: Function, r: float, p: float, q: float, rule: str) -> tuple[float, float]:
    """The multipliers of P and of Q; NaN for a part that is 0, since nothing here is multiplied by that."""
    at_reference, at_input = function(r), function(r + p + q)
    with_rise, with_fall = function(r + p), function(r + q)
    if rule == "rescale":
        slope = (at_input - at_reference) / (p + q)
        return slope, slope
    if rule == "revealcancel-positive-first":
        rise, fall = with_rise - at_reference, at_input - with_rise
    else:
        rise = (with_rise - at_reference + at_input - with_fall) / 2
        fall = (with_fall - at_reference + at_input - with_rise) / 2
    return rise / p if p else math.nan, fall / q if q else math.nan


def by_hand(
    model: Residual, f: Function, g: Function, rules: tuple[str, str], x: np.ndarray, r: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multipliers of one pair, the responses of f to the parts of its inputs, and what these contribute.

    The last two are arrays [SIZE, 2], for P and for Q.
    """
    weight, bias = model.dense.weight.detach().numpy(), model.dense.bias.detach().numpy()
    last = model.last.weight.detach().numpy()[0]
    delta = x - r
    multiplier = np.zeros(SIZE)
    found, contributed = np.zeros((2, SIZE, 2))
    for i in range(SIZE):
        p = q = 0.0
        for j in range(SIZE):
            if weight[i, j] * delta[j] > 0:
                p += weight[i, j] * delta[j]
            else:
                q += weight[i, j] * delta[j]
        at_reference = float(weight[i] @ r + bias[i])
        to_rise, to_fall = found[i] = responses(f, at_reference, p, q, rules[0])
        parts = to_rise * p if p else 0.0, to_fall * q if q else 0.0
        rises = max(delta[i], 0.0) + sum(part for part in parts if part > 0)
        falls = min(delta[i], 0.0) + sum(part for part in parts if part < 0)
        positive, negative = (
            last[i] * m for m in responses(g, float(r[i]) + f(at_reference), rises, falls, rules[1])
        )
        # What the parts of the dense layer's output are multiplied by, and from there what each input is.
        of_rise = to_rise * (positive if to_rise > 0 else negative) if to_rise else 0.0
        of_fall = to_fall * (negative if to_fall > 0 else positive) if to_fall else 0.0
        contributed[i] = of_rise * p if p else 0.0, of_fall * q if q else 0.0
        for j in range(SIZE):
            multiplier[j] += weight[i, j] * (of_rise if weight[i, j] * delta[j] > 0 else of_fall)
        multiplier[i] += positive if delta[i] > 0 else negative
    return multiplier, found, contributed


@pytest.mark.parametrize("name", FALLING)
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("rule_of_f", RULES)
@pytest.mark.parametrize("rule_of_g", RULES[1:])
def test_a_negative_response_swaps_the_multipliers(
    name: str, second: str, rule_of_f: str, rule_of_g: str
) -> None:
    (f, f_by_hand), (g, g_by_hand) = FALLING[name], SECOND[second]
    negative = positive = 0
    for seed in range(4):
        model = Residual(seed, f, g).double()
        x, r = 2 * torch.randn(2, 3, SIZE, dtype=torch.float64)
        explainer = DeepLift(model, rule="rescale", layer_rules={"f": rule_of_f, "g": rule_of_g})
        result = explainer.attribute(x, r[:, None])
        assert result.completeness_error.abs().max() < 1e-12
        # Of the dense layer's output, whose difference has parts of both signs.
        inner = explainer.attribute(x, r[:, None], layer="dense")
        for row in range(len(x)):
            expected, found, contributed = by_hand(
                model, f_by_hand, g_by_hand, (rule_of_f, rule_of_g), x[row].numpy(), r[row].numpy()
            )
            np.testing.assert_allclose(result.multipliers[row].numpy(), expected, rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                result.contributions[row].numpy(), expected * (x - r)[row].numpy(), rtol=0, atol=1e-9
            )
            np.testing.assert_allclose(
                inner.contributions[row].numpy(), contributed.sum(1), rtol=0, atol=1e-9
            )
            negative, positive = negative + (found < 0).sum(), positive + (found > 0).sum()
    assert negative > 5  # there was something to swap
    assert positive > 5 or name == "negative relu"


@pytest.mark.parametrize("rule", ["revealcancel", "revealcancel-positive-first"])
@pytest.mark.parametrize("passes", ["auto", ()])
def test_at_a_kink_without_any_difference_the_slope_to_the_right_counts(
    rule: str, passes: str | tuple[str, ...]
) -> None:
    """ReLU rises by 1 to the right of 0, and the absolute value, too; both fall or stay to the left."""
    at_zero = torch.zeros(2, 3)
    for function in (F.relu, torch.abs, lambda u: F.leaky_relu(u, 0.2)):
        result = DeepLift(Applied(function), at_zero, rule=rule, passes=passes).attribute(
            at_zero, at_zero[:, None], target=0
        )
        torch.testing.assert_close(result.multipliers, torch.tensor([[1.0, 0, 0]] * 2))


def test_without_a_difference_the_mean_of_both_multipliers_counts() -> None:
    both = Multipliers(torch.tensor([3.0, 3.0, 3.0]), torch.tensor([-1.0, -1.0, -1.0]))
    assert both.by_sign(torch.tensor([2.0, 0.0, -1e-30])).tolist() == [3, 1, -1]
