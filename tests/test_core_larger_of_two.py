"""The larger and the smaller of two in every spelling, before a sum and RevealCancel.

Behind the choice m+ and m- differ, so that a rule which turns the smaller of two into the larger of their
negatives has to swap them. The spelling that all others are compared with is ``maximum``, for the smaller
one -maximum(-a, -b).
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

SIZE = 9
Choice = Callable[[Tensor, Tensor], Tensor]

LARGER: dict[str, Choice] = {
    "a > b": lambda a, b: torch.where(a > b, a, b),
    "a >= b": lambda a, b: torch.where(a >= b, a, b),
    "b < a": lambda a, b: torch.where(b < a, a, b),
    "b <= a": lambda a, b: torch.where(b <= a, a, b),
    "a < b": lambda a, b: torch.where(a < b, b, a),
    "b > a": lambda a, b: torch.where(b > a, b, a),
    "stack": lambda a, b: torch.stack([a, b], 1).amax(1),
    "max": torch.max,
    "fmax": torch.fmax,
}
SMALLER: dict[str, Choice] = {
    "a < b": lambda a, b: torch.where(a < b, a, b),
    "a <= b": lambda a, b: torch.where(a <= b, a, b),
    "b > a": lambda a, b: torch.where(b > a, a, b),
    "b >= a": lambda a, b: torch.where(b >= a, a, b),
    "a > b": lambda a, b: torch.where(a > b, b, a),
    "stack": lambda a, b: torch.stack([a, b], 1).amin(1),
    "min": torch.min,
    "minimum": torch.minimum,
    "fmin": torch.fmin,
}


class Model(nn.Module):
    def __init__(self, choose: Choice) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.last = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 1)
        self.choose = choose

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.choose(self.a(x), self.b(x)) + x))


def scores(choose: Choice, rule: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, r = torch.randn(2, 20, SIZE, dtype=torch.float64, generator=generator)
    result = DeepLift(Model(choose).double(), rule=rule).attribute(x, r[:, None])
    assert result.completeness_error.abs().max() < 1e-12
    return result.contributions, result.multipliers


@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "revealcancel-positive-first"])
@pytest.mark.parametrize("name", LARGER)
def test_the_larger_of_two_scores_alike_in_every_spelling(name: str, rule: str) -> None:
    for found, expected in zip(scores(LARGER[name], rule), scores(torch.maximum, rule), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "revealcancel-positive-first"])
@pytest.mark.parametrize("name", SMALLER)
def test_the_smaller_of_two_is_the_larger_of_the_negatives(name: str, rule: str) -> None:
    expected_scores = scores(lambda a, b: -torch.maximum(-a, -b), rule)
    for found, expected in zip(scores(SMALLER[name], rule), expected_scores, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
