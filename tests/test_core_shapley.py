"""Rules that claim Shapley values, against the definition: an average over all orders of the players.

The players are the elements of the input (or, for RevealCancel, the positive and the negative part of what a
dense layer adds up). A player who joins goes from its reference to its input; what the output changes by is
its marginal contribution in that order. The networks are small enough to enumerate all orders.
"""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from zoo.entry import Net

from deeplift_core import DeepLift

D = torch.float64
Value = Callable[[frozenset[int]], float]


def shapley(players: int, value: Value) -> list[float]:
    """Mean over all orders of what each player adds to those before it."""
    known: dict[frozenset[int], float] = {}

    def v(coalition: frozenset[int]) -> float:
        if coalition not in known:
            known[coalition] = value(coalition)
        return known[coalition]

    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            total[player] += v(before | {player}) - v(before)
    return list(total / len(orders))


def of_elements(model: nn.Module, x: Tensor, r: Tensor) -> Tensor:
    """Shapley values of the elements of one input [...] against one reference [...]."""

    def value(coalition: frozenset[int]) -> float:
        mixed = r.flatten().clone()
        for player in coalition:
            mixed[player] = x.flatten()[player]
        return float(model(mixed.view(x.shape)[None]).reshape(-1)[0])

    return torch.tensor(shapley(x.numel(), value), dtype=D).view(x.shape)


def draw(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three inputs and two references each; a quarter of the elements are equal, and some are 0."""
    generator = torch.Generator().manual_seed(seed)
    x, r = (torch.randn(3, n, *shape, dtype=D, generator=generator) for n in (1, 2))
    r = torch.where(torch.rand(r.shape, generator=generator) < 0.25, x, r)
    r = torch.where(torch.rand(r.shape, generator=generator) < 0.15, 0, r)
    return x[:, 0], r


MIX = torch.randn(4, 4, dtype=D, generator=torch.Generator().manual_seed(9))

NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "product": ((2,), lambda x: x[:, 0] * x[:, 1]),
    "sum of products": ((6,), lambda x: (x[:, :3] * x[:, 3:]).sum(1)),
    "weighted products": ((4, 2), lambda x: (x[..., 0] * x[..., 1]) @ MIX[0]),
    "product of one with several": ((5,), lambda x: (x[:, :1] * x[:, 1:]).sum(1)),
    "quotient": ((2,), lambda x: x[:, 0] / (x[:, 1].abs() + 1)),
    "gate": ((4,), lambda x: (x[:, :2] * torch.sigmoid(x[:, 2:])).sum(1)),
    "gated linear unit": ((6,), lambda x: nn.functional.glu(x, 1).sum(1)),
    "squares": ((3,), lambda x: (x * x).sum(1)),
    "addcmul": ((6,), lambda x: torch.addcmul(x[:, :2], x[:, 2:4], x[:, 4:]).sum(1)),
    "matrices": ((2, 4), lambda x: (x[:, 0].view(-1, 2, 2) @ x[:, 1].view(-1, 2, 2)).flatten(1) @ MIX[1]),
    "matrix and vector": ((6,), lambda x: (x[:, :4].view(-1, 2, 2) @ x[:, 4:, None]).sum((1, 2))),
    "batched einsum": ((2, 4), lambda x: torch.einsum("nc,nc->n", x[:, 0], x[:, 1])),
    "outer product": ((4,), lambda x: (x[:, :2, None] * x[:, None, 2:]).flatten(1) @ MIX[2]),
    "product along an axis": ((6,), lambda x: x.prod(1)),
    "products along an axis": ((2, 3), lambda x: x.prod(2, keepdim=True).sum((1, 2))),
    "noisy or": ((5,), lambda x: 1 - (1 - torch.sigmoid(x)).prod(1)),
    "a to the b": ((2,), lambda x: (x[:, 0].abs() + 0.5) ** x[:, 1]),
    "atan2": ((2,), lambda x: torch.atan2(x[:, 0], x[:, 1] + 3)),
    "hypot": ((2,), lambda x: torch.hypot(x[:, 0], x[:, 1])),
    "choice by a mask": ((3,), lambda x: torch.where(x[:, 0] > 0, x[:, 1], x[:, 2])),
    "choice of a constant": ((2,), lambda x: torch.where(x[:, 0] > 0, x[:, 1], 0.5)),
    "masked": ((4,), lambda x: (x[:, :2] * (x[:, 2:] > 0)).sum(1)),
    "comparison": ((2,), lambda x: (x[:, 0] > x[:, 1]).to(D)),
    "interpolation": ((3,), lambda x: torch.lerp(x[:, 0], x[:, 1], x[:, 2])),
    "and": ((2,), lambda x: ((x[:, 0] > 0) & (x[:, 1] > 0)).to(D)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_contributions_are_shapley_values(name: str) -> None:
    shape, function = NETWORKS[name]
    model = Net(lambda s, x: function(x))
    x, references = draw(*shape)
    found = DeepLift(model, x).attribute(x, references, target=(), per_reference=True).contributions
    for i in range(len(x)):
        for k in range(references.shape[1]):
            expected = of_elements(model, x[i], references[i, k])
            torch.testing.assert_close(found[i, k], expected, rtol=0, atol=1e-10)


def test_orders_without_a_value_are_left_out() -> None:
    """0 to a negative power is met in one of two orders only."""
    model = Net(lambda s, x: x[:, 0] ** x[:, 1])
    x = torch.tensor([[2.0, -1.5], [0, 0.5]], dtype=D)
    references = torch.tensor([[[0.0, 0.5]], [[2, -1.5]]], dtype=D)
    found = DeepLift(model, x).attribute(x, references, target=()).contributions
    first = [2**0.5, 2**-1.5 - 2**0.5]
    torch.testing.assert_close(
        found, torch.tensor([first, [-one for one in first]], dtype=D), rtol=0, atol=1e-12
    )


# ---- RevealCancel: two players


SMOOTH = [torch.relu, torch.sigmoid, torch.tanh, nn.functional.softplus, nn.functional.gelu]


@pytest.mark.parametrize("f", SMOOTH)
@pytest.mark.parametrize("bias", [-1.0, 0.0, 0.7])
def test_revealcancel_gives_both_parts_their_shapley_values(
    f: Callable[[Tensor], Tensor], bias: float
) -> None:
    """Inside a part, each input gets its share in proportion to what it adds (paper, section 3.5.3)."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(5, dtype=D, generator=generator)
    model = Net(lambda s, x: f(s.dense(x)), dense=nn.Linear(5, 1)).to(D)
    model.dense.weight.data[:] = weight
    model.dense.bias.data[:] = bias
    x, references = draw(5, seed=4)
    explainer = DeepLift(model, x, rule="revealcancel", logits=False)
    found = explainer.attribute(x, references, per_reference=True).contributions
    for i in range(len(x)):
        for k in range(references.shape[1]):
            expected = _by_parts(f, weight, bias, x[i], references[i, k])
            torch.testing.assert_close(found[i, k], expected, rtol=0, atol=1e-10)


def _by_parts(f: Callable[[Tensor], Tensor], weight: Tensor, bias: float, x: Tensor, r: Tensor) -> Tensor:
    terms = weight * (x - r)
    parts: Sequence[Tensor] = (terms.clamp(min=0), terms.clamp(max=0))
    start = weight @ r + bias

    def value(coalition: frozenset[int]) -> float:
        return float(f(start + sum((parts[player].sum() for player in coalition), torch.zeros((), dtype=D))))

    shares = shapley(2, value)
    return sum(
        (share * part / part.sum() if part.sum() != 0 else torch.zeros_like(part))
        for share, part in zip(shares, parts, strict=True)
    )


def test_the_enumeration_knows_a_textbook_game() -> None:
    """The glove game: one left glove (player 0), two right ones; a pair is worth 1."""
    pair = lambda coalition: float(0 in coalition and bool(coalition & {1, 2}))  # noqa: E731
    np.testing.assert_allclose(shapley(3, pair), [2 / 3, 1 / 6, 1 / 6])
