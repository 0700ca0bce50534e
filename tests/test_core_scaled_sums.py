"""Sums and differences with ``alpha`` score like the sums that they stand for, written out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

SIZE = 7
RULES = ["rescale", "revealcancel", "revealcancel-positive-first"]
Sum = Callable[[Tensor, Tensor | float, float], Tensor]

# The operation, and what the operation stands for.
SUMS: dict[str, tuple[Sum, Sum]] = {
    "add": (lambda u, v, alpha: torch.add(u, v, alpha=alpha), lambda u, v, alpha: u + alpha * v),
    "sub": (lambda u, v, alpha: torch.sub(u, v, alpha=alpha), lambda u, v, alpha: u - alpha * v),
    "rsub": (lambda u, v, alpha: torch.rsub(u, v, alpha=alpha), lambda u, v, alpha: v - alpha * u),
    "add of a number first": (
        lambda u, v, alpha: torch.add(torch.full((), 2.0, dtype=u.dtype), u, alpha=alpha),
        lambda u, v, alpha: 2.0 + alpha * u,
    ),
    "addcmul": (
        lambda u, v, alpha: torch.addcmul(u, u.flip(1), torch.full((), 0.5, dtype=u.dtype), value=alpha),
        lambda u, v, alpha: u + alpha * (u.flip(1) * 0.5),
    ),
}


class Model(nn.Module):
    """relu(sum + x): one more quantity makes sure that the sum is no part of the activation."""

    def __init__(self, combine: Sum, alpha: float, number: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.u, self.v = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.last = nn.Linear(SIZE, 1)
        self.combine, self.alpha, self.number = combine, alpha, number

    def forward(self, x: Tensor) -> Tensor:
        combined = self.combine(self.u(x), 2.0 if self.number else self.v(x), self.alpha)
        return self.last(torch.relu(combined + x))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("alpha", [1, 3.0, 0.25, -1.5])
@pytest.mark.parametrize("name", SUMS)
def test_a_scaled_sum_scores_like_the_sum_written_out(
    name: str, alpha: float, number: bool, rule: str
) -> None:
    torch.manual_seed(4)
    x, r = torch.randn(2, 3, SIZE, dtype=torch.float64)
    found, expected = (
        DeepLift(Model(combine, alpha, number).double(), rule=rule).attribute(x, r[:, None])
        for combine in SUMS[name]
    )
    torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=0, atol=1e-12)
    assert found.completeness_error.abs().max() < 1e-12


class Products(nn.Module):
    """relu(x + beta b + alpha (u W)), by ``addmm`` and ``baddbmm`` or written out."""

    def __init__(self, alpha: float, beta: float, batched: bool, spelled: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.u, self.last = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 1)
        self.weight = nn.Parameter(torch.randn(SIZE, SIZE))
        self.bias = nn.Parameter(torch.randn(SIZE))
        self.alpha, self.beta, self.batched, self.spelled = alpha, beta, batched, spelled

    def forward(self, x: Tensor) -> Tensor:
        u, weight = self.u(x), self.weight
        if self.spelled:
            product = self.beta * self.bias + self.alpha * (u @ weight)
        elif self.batched:
            weights = weight.expand(len(x), SIZE, SIZE)
            product = torch.baddbmm(self.bias, u.unsqueeze(1), weights, beta=self.beta, alpha=self.alpha)
            product = product.squeeze(1)
        else:
            product = torch.addmm(self.bias, u, weight, beta=self.beta, alpha=self.alpha)
        return self.last(torch.relu(x + product))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0.5), (3.0, 1), (-0.25, 2.0)])
def test_a_scaled_matrix_product_scores_like_the_product_written_out(
    alpha: float, beta: float, batched: bool, rule: str
) -> None:
    torch.manual_seed(4)
    x, r = torch.randn(2, 3, SIZE, dtype=torch.float64)
    found, expected = (
        DeepLift(Products(alpha, beta, batched, spelled).double(), rule=rule).attribute(x, r[:, None])
        for spelled in (False, True)
    )
    torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=0, atol=1e-12)
    assert found.completeness_error.abs().max() < 1e-12
