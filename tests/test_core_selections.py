"""Maxima of two, running maxima and order statistics, against loops over single numbers."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from zoo.entry import Net

from deeplift_core import DeepLift

N = 6
WEIGHTS = [1.0, -2, 0.5, 3, -1, 0.25]
# Few different numbers, so that ties are common.
NUMBERS = st.lists(st.sampled_from([-1.5, 0.0, 0.5, 1.0, 2.25]), min_size=N, max_size=N)
DISTINCT = st.permutations([-1.5, 0.0, 0.5, 1.0, 2.25, 4.0])
quickly = settings(max_examples=40, deadline=None)
Numbers = Sequence[float]


def scores(model: Callable[[Tensor], Tensor], x: Numbers, r: Numbers) -> np.ndarray:
    """Contributions to the weighted sum of what ``model`` chooses."""

    def weighted(_: Net, v: Tensor) -> Tensor:
        chosen = model(v)
        return chosen @ torch.tensor(WEIGHTS[: chosen.shape[1]], dtype=v.dtype)

    rows, references = torch.tensor([x], dtype=torch.float64), torch.tensor([[r]], dtype=torch.float64)
    result = DeepLift(Net(weighted)).attribute(rows, references, target=())
    assert result.completeness_error.abs().max() < 1e-12
    return result.contributions[0].numpy()


# ---- maxima


def shares_of_maximum(x: Numbers, r: Numbers) -> list[float]:
    """A rise goes to where the input is largest, a fall to where the reference is; ties keep to one place."""
    at = x.index(max(x))
    was_at = at if r[at] == max(r) else r.index(max(r))
    change = max(x) - max(r)
    return [change * (place == (at if change > 0 else was_at)) for place in range(len(x))]


LARGER: dict[str, Callable[[Tensor], Tensor]] = {
    "maximum": lambda x: torch.maximum(x[:, :3], x[:, 3:]),
    "max": lambda x: torch.max(x[:, :3], x[:, 3:]),
    "where": lambda x: torch.where(x[:, :3] >= x[:, 3:], x[:, :3], x[:, 3:]),
    "stack": lambda x: torch.stack([x[:, :3], x[:, 3:]]).amax(0),
    "minimum": lambda x: -torch.minimum(-x[:, :3], -x[:, 3:]),
    "clamp": lambda x: torch.clamp(x[:, :3], min=x[:, 3:]),
}


@pytest.mark.parametrize("spelling", LARGER)
@quickly
@given(x=NUMBERS, r=NUMBERS)
def test_the_larger_of_two(spelling: str, x: list[float], r: list[float]) -> None:
    expected = np.zeros(N)
    for i in range(3):
        expected[[i, i + 3]] = np.multiply(WEIGHTS[i], shares_of_maximum(x[i::3], r[i::3]))
    np.testing.assert_allclose(scores(LARGER[spelling], x, r), expected, atol=1e-12)


@quickly
@given(x=DISTINCT, r=DISTINCT)
def test_running_maxima(x: list[float], r: list[float]) -> None:
    expected = np.zeros(N)
    for end in range(1, N + 1):
        expected[:end] += np.multiply(WEIGHTS[end - 1], shares_of_maximum(x[:end], r[:end]))
    np.testing.assert_allclose(scores(lambda v: v.cummax(1).values, x, r), expected, atol=1e-12)


# ---- order statistics


def shares_in_order(x: Numbers, r: Numbers, ranks: Sequence[int]) -> np.ndarray:
    """Of the positions that crossed from the old to the new i-th smallest value, the one that moved least."""
    expected = np.zeros(len(x))
    for weight, rank in zip(WEIGHTS, ranks, strict=False):
        now, before = sorted(x)[rank], sorted(r)[rank]
        if now == before:
            continue
        low, high = min(now, before), max(now, before)
        rising = now > before
        crossed = [
            j
            for j in range(len(x))
            if (r[j] <= low and x[j] >= high if rising else r[j] >= high and x[j] <= low)
        ]
        witness = min(crossed, key=lambda j: abs(x[j] - r[j]))
        expected[witness] += weight * (now - before)
    return expected


ORDERS: dict[str, tuple[Callable[[Tensor], Tensor], list[int]]] = {
    "sort": (lambda x: x.sort(1).values, [0, 1, 2, 3, 4, 5]),
    "stable sort": (lambda x: x.sort(dim=1, stable=True).values, [0, 1, 2, 3, 4, 5]),
    "sort downwards": (lambda x: torch.sort(x, 1, descending=True)[0], [5, 4, 3, 2, 1, 0]),
    "topk": (lambda x: x.topk(3, 1).values, [5, 4, 3]),
    "smallest": (lambda x: x.topk(2, 1, largest=False).values, [0, 1]),
    "kthvalue": (lambda x: x.kthvalue(3, 1, keepdim=True).values, [2]),
    "median": (lambda x: x.median(1, keepdim=True).values, [2]),
    "columns": (lambda x: x[:, :, None].sort(1).values[:, :, 0], [0, 1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("name", ORDERS)
@quickly
@given(x=NUMBERS, r=NUMBERS)
def test_order_statistics(name: str, x: list[float], r: list[float]) -> None:
    model, ranks = ORDERS[name]
    np.testing.assert_allclose(scores(model, x, r), shares_in_order(x, r, ranks), atol=1e-12)


@pytest.mark.parametrize("name", ORDERS)
def test_order_statistics_of_several_rows_are_those_of_each(name: str) -> None:
    model, ranks = ORDERS[name]

    def weighted(_: Net, v: Tensor) -> Tensor:
        return model(v) @ torch.tensor(WEIGHTS[: len(ranks)], dtype=v.dtype)

    x, r = torch.randn(2, 3, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = DeepLift(Net(weighted)).attribute(x, r[:, None], target=()).contributions
    expected = [shares_in_order(*pair, ranks) for pair in zip(x.tolist(), r.tolist(), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@quickly
@given(x=NUMBERS, r=NUMBERS)
def test_the_largest_in_order_is_the_maximum(x: list[float], r: list[float]) -> None:
    """Where one position is largest at the input and one at the reference, both rules send to it."""
    if x.count(max(x)) == r.count(max(r)) == 1 and max(x) > max(r):
        first = scores(lambda v: v.topk(1, 1).values, x, r)
        candidates = [j for j in range(N) if x[j] >= max(x)]
        assert candidates == np.flatnonzero(first).tolist()
        np.testing.assert_allclose(first, shares_of_maximum(x, r), atol=1e-12)
