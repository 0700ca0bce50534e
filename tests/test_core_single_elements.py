"""A function of single elements gives each element its own difference, whatever operation computes this."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

SIZE = 8
MASK = torch.tensor([True, False, False, True, False, True, False, False])
FACTOR = torch.linspace(-2, 1.5, SIZE, dtype=torch.float64)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "masked_fill": lambda x: x.masked_fill(MASK, 2.0),
    "masked_fill with a tensor": lambda x: x.masked_fill(MASK, torch.full((), -3.0, dtype=x.dtype)),
    "where, first": lambda x: torch.where(MASK, x, FACTOR),
    "where, second": lambda x: torch.where(MASK, 0.5, x),
    "where, both": lambda x: torch.where(MASK, 3 * x, -x),
    "product": lambda x: FACTOR * x,
    "quotient": lambda x: x / (FACTOR + 3),
    "floor of a quotient": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
    "quotient without its fraction": lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
    "rsub": lambda x: torch.rsub(x, 2.0, alpha=-1.5),
    "addcmul": lambda x: torch.addcmul(FACTOR, x, FACTOR, value=0.7),
    "addcdiv": lambda x: torch.addcdiv(x, FACTOR, FACTOR + 3, value=0.7),
    "lerp": lambda x: torch.lerp(x, FACTOR, 0.3),
    "remainder": lambda x: torch.remainder(x, 0.7),
    "threshold": lambda x: nn.functional.threshold(x, 0.2, -1.0),
    "clamp": lambda x: x.clamp(-0.5, 0.8),
    "negative": lambda x: -x,
    "sign": torch.sign,
    "round": torch.round,
    "comparison": lambda x: (x > FACTOR).to(x.dtype),
    "power": lambda x: x.abs() ** FACTOR.abs(),
}


class Model(nn.Module):
    """The weighted sum of a function of each element of x."""

    def __init__(self, function: Callable[[Tensor], Tensor], weights: Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) @ self.weights[:, None]


@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "revealcancel-positive-first"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_element_gets_its_own_difference(name: str, rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, r = torch.randn(2, 6, SIZE, dtype=torch.float64, generator=generator)
    weights = torch.randn(SIZE, dtype=torch.float64, generator=generator)
    function = FUNCTIONS[name]
    result = DeepLift(Model(function, weights), rule=rule).attribute(x, r[:, None])
    expected = (function(x) - function(r)) * weights
    torch.testing.assert_close(result.contributions, expected, rtol=0, atol=1e-10)
