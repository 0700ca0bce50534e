"""Maxima of every kind under both of their rules, against loops over windows and single numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slow_rules
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_rules import MAXIMA, aumann_shapley
from torch import Tensor, nn

from deeplift_core import DeepLift, OptionError
from deeplift_core.rules.aumann_shapley import shares_along_the_line

D = torch.float64
RULES = ["switch", "aumann-shapley"]
Function = Callable[[Tensor], Tensor]
quickly = settings(max_examples=40, deadline=None)


class Weighted(nn.Module):
    """The sum of what a function returns, times fixed numbers."""

    def __init__(self, function: Function, shape: tuple[int, ...], dtype: torch.dtype = D) -> None:
        super().__init__()
        self.function = function
        count = function(torch.zeros(1, *shape, dtype=dtype)).numel()
        numbers = torch.linspace(-1.5, 2.5, count, dtype=dtype)
        self.weights = nn.Parameter(numbers[torch.randperm(count, generator=seeded(count))])

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x).reshape(len(x), -1) @ self.weights


class Applied(nn.Module):
    """A module of its own for a function, so that a layer rule can name it."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def explained(model: nn.Module, x: Tensor, r: Tensor, rule: str, **options: Any) -> Any:
    """Each row of x [n, ...] against its own reference [n, ...]."""
    explainer = DeepLift(model, x, layer_rules={"*": rule}, logits=False, **options)
    return explainer.attribute(x, r[:, None], target=())


def windows_of(function: Function, shape: tuple[int, ...]) -> list[list[int]]:
    """Positions that each maximum depends on, found by raising one position at a time."""
    count = int(np.prod(shape))
    raised = (torch.eye(count, dtype=D) - 1).view(count, *shape)
    reached = function(raised).reshape(count, -1) == 0
    return [torch.nonzero(column).flatten().tolist() for column in reached.T]


def expected(model: Weighted, x: Tensor, r: Tensor, rule: str) -> np.ndarray:
    """Multipliers of each row by loops over windows."""
    windows = windows_of(model.function, tuple(x.shape[1:]))
    found = np.zeros((len(x), x[0].numel()))
    for row, (now, before) in enumerate(zip(x.flatten(1).tolist(), r.flatten(1).tolist(), strict=True)):
        for weight, window in zip(model.weights.tolist(), windows, strict=True):
            shares = MAXIMA[rule]([now[p] for p in window], [before[p] for p in window])
            found[row, window] += np.multiply(weight, shares)
    return found.reshape(x.shape)


POOLS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "pairs": (nn.MaxPool1d(2), (2, 9)),
    "apart": (nn.MaxPool1d(3), (2, 9)),
    "gaps between windows": (nn.MaxPool1d(2, 3), (1, 10)),
    "windows of one": (nn.MaxPool1d(1, 2), (1, 5)),
    "overlapping": (nn.MaxPool1d(3, 2), (1, 9)),
    "padded": (nn.MaxPool1d(4, 3, padding=2), (2, 10)),
    "up to the end": (nn.MaxPool1d(4, 3, ceil_mode=True), (1, 12)),
    "padded up to the end": (nn.MaxPool1d(3, 2, padding=1, ceil_mode=True), (1, 10)),
    "dilated": (nn.MaxPool1d(3, 2, dilation=2), (1, 11)),
    "dilated and padded": (nn.MaxPool1d(3, 1, padding=1, dilation=3), (1, 10)),
    "long windows": (nn.MaxPool1d(34, 7, padding=3), (1, 36)),
    "2d": (nn.MaxPool2d(2), (2, 4, 6)),
    "2d, all settings": (nn.MaxPool2d((2, 3), (1, 2), (1, 1), (2, 1), ceil_mode=True), (1, 5, 6)),
    "3d": (nn.MaxPool3d(2), (1, 4, 2, 4)),
    "3d, padded": (nn.MaxPool3d((2, 3, 2), 2, (1, 1, 0), ceil_mode=True), (1, 3, 5, 3)),
    "adaptive": (nn.AdaptiveMaxPool1d(4), (2, 10)),
    "adaptive, equal parts": (nn.AdaptiveMaxPool1d(4), (1, 12)),
    "adaptive, one window": (nn.AdaptiveMaxPool1d(1), (2, 7)),
    "adaptive 2d": (nn.AdaptiveMaxPool2d((2, 3)), (1, 5, 4)),
    "adaptive 3d": (nn.AdaptiveMaxPool3d((2, 1, 2)), (1, 3, 2, 3)),
    "one axis": (Applied(lambda x: x.max(-1).values), (3, 6)),
    "several axes": (Applied(lambda x: x.amax((1, 3))), (2, 3, 3)),
    "all axes of a row": (Applied(lambda x: x.flatten(1).amax(1)), (2, 5)),
    "running": (Applied(lambda x: x.cummax(-1).values), (2, 6)),
    "running along channels": (Applied(lambda x: x.cummax(1).values), (5, 2)),
    "two": (Applied(lambda x: torch.maximum(x[:, 0], x[:, 1])), (2, 5)),
    "where": (Applied(lambda x: torch.where(x[:, 0] > x[:, 1], x[:, 0], x[:, 1])), (2, 5)),
}


def drawn(shape: tuple[int, ...], rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Whole numbers with ties in the first half of the rows, multiples of 1/64 in the second half."""
    numbers = torch.randn(2, rows, *shape, dtype=D, generator=seeded(seed)) * 2
    numbers[:, : rows // 2] = numbers[:, : rows // 2].round()
    numbers = numbers.mul(64).round() / 64
    return numbers[0], numbers[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", POOLS)
def test_multipliers_of_every_kind_of_window(name: str, rule: str) -> None:
    function, shape = POOLS[name]
    model = Weighted(function, shape)
    x, r = drawn(shape, 16, seed=len(name))
    r[3], r[9] = x[3], x[9]
    found = explained(model, x, r, rule)
    assert found.completeness_error.abs().max() < 1e-12
    np.testing.assert_allclose(found.multipliers, expected(model, x, r, rule), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", POOLS)
def test_float32_gives_what_float64_gives(name: str, rule: str) -> None:
    """Multiples of 1/8 have the same ties in both."""
    function, shape = POOLS[name]
    x, r = (value.mul(8).round() / 8 for value in drawn(shape, 16, seed=1))
    single, double = (
        explained(Weighted(function, shape, dtype), x.to(dtype), r.to(dtype), rule)
        for dtype in (torch.float32, D)
    )
    torch.testing.assert_close(single.multipliers, double.multipliers.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, (pool, _) in POOLS.items() if not isinstance(pool, Applied)])
def test_fast_max_pools_are_the_plain_rule(name: str) -> None:
    """Ties but for rounding, a ReLU before the pool and a row of -inf (without a score) change nothing."""
    pool, shape = POOLS[name]
    x, r = (nearly_tied(value) for value in drawn(shape, 12, seed=2))
    x[1], r[1] = -torch.inf, -torch.inf
    compared = torch.arange(len(x)) != 1
    for before in ([], [nn.ReLU()]):
        model = Weighted(nn.Sequential(*before, pool), shape)
        fast = explained(model, x, r, "switch").multipliers
        plain = explained(model, x, r, "switch", passes=()).multipliers
        torch.testing.assert_close(fast[compared], plain[compared], rtol=0, atol=1e-12)


# ---- ties


def nearly_tied(value: Tensor, seed: int = 0) -> Tensor:
    """The same but for up to 3 eps of its magnitude, up or down."""
    steps = torch.randint(-3, 4, value.shape, generator=seeded(seed))
    return value * (1 + steps * torch.finfo(value.dtype).eps)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", POOLS)
def test_what_ties_but_for_rounding_scores_as_if_it_tied(name: str, rule: str) -> None:
    """In float64, because pairs of float32 may be scored again in float64, where they tie no more."""
    function, shape = POOLS[name]
    model = Weighted(function, shape)
    x, r = (value.mul(2).round() for value in drawn(shape, 16, seed=3))
    exact = explained(model, x, r, rule).multipliers
    rounded = explained(model, nearly_tied(x), nearly_tied(r, seed=1), rule).multipliers
    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_where_a_tie_ends(dtype: torch.dtype, rule: str) -> None:
    """The second of two is the larger: by less than 8 eps the first is the argmax, by more it is not."""
    eps = torch.finfo(dtype).eps
    r = torch.tensor([[[1.0, 1.0, 0.0]]], dtype=dtype)
    for units, first in ((7, True), (9, False)):
        x = torch.tensor([[[3.0, 3.0, 1.0]]], dtype=dtype)
        x[0, 0, 1] *= 1 + units * eps
        for function in (
            nn.MaxPool1d(3),
            nn.MaxPool1d(2),
            nn.AdaptiveMaxPool1d(1),
            lambda v: v.amax(-1),
            lambda v: v.cummax(-1).values[..., 1:2],
            lambda v: torch.maximum(v[..., 0], v[..., 1]),
            lambda v: torch.where(v[..., 0] > v[..., 1], v[..., 0], v[..., 1]),
        ):
            found = explained(Weighted(function, (1, 3), dtype), x, r, rule).contributions[0, 0]
            assert found.ne(0).tolist() == [first, not first, False]


SUMS = st.lists(st.integers(1, 99), min_size=4, max_size=4)


@settings(max_examples=15, deadline=None)
@given(now=SUMS, before=SUMS, turn=st.integers(0, 3))
def test_sums_in_another_order_tie_in_both_precisions(now: list[int], before: list[int], turn: int) -> None:
    """Four numbers added up in four orders are the same sum but for rounding: the first order gets all."""
    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)]
    orders = orders[turn:] + orders[:turn]

    def sums(v: Tensor) -> Tensor:
        scaled = v * torch.tensor([[[0.1], [0.7], [1.3], [0.3]]], dtype=v.dtype)
        own = scaled + torch.zeros(4, 4, dtype=v.dtype)
        added = [
            own[:, a, place] + own[:, b, place] + own[:, c, place] + own[:, d, place]
            for place, (a, b, c, d) in enumerate(orders)
        ]
        return torch.stack(added, -1)

    for dtype in (torch.float32, D):
        x, r = (torch.tensor([values], dtype=dtype)[..., None].expand(1, 4, 4) for values in (now, before))
        model = Weighted(lambda v: sums(v).amax(-1), (4, 4), dtype)
        found = explained(model, x.contiguous(), r.contiguous(), "switch").multipliers
        assert found[..., 1:].count_nonzero() == 0
        assert sum(now) == sum(before) or found[..., 0].count_nonzero() == 4


# ---- the rule aumann-shapley


NUMBERS = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=5, max_size=5)


@quickly
@given(x=NUMBERS, r=NUMBERS)
def test_shares_against_exact_fractions(x: list[float], r: list[float]) -> None:
    sides = (torch.tensor(side, dtype=D).unsqueeze(-1) for side in (x, r))
    found = shares_along_the_line(*sides, 8 * torch.finfo(D).eps)[:, 0]
    np.testing.assert_allclose(found, aumann_shapley(x, r), rtol=0, atol=1e-12)


@quickly
@given(seed=st.integers(0, 2**32), count=st.integers(1, 300), dtype=st.sampled_from([torch.float32, D]))
def test_shares_of_many_values_add_up(seed: int, count: int, dtype: torch.dtype) -> None:
    """Also where each value ties with the next but the first does not tie with the last."""
    eps = torch.finfo(dtype).eps
    x, r = torch.randn(2, count, 3, dtype=dtype, generator=seeded(seed))
    chain = 1 + 6 * eps * torch.arange(count, dtype=dtype)
    x[:, 1], r[:, 1] = chain, chain.flip(0) * 2
    x[:, 2], r[:, 2] = chain[torch.randperm(count, generator=seeded(seed))], chain
    shares = shares_along_the_line(x, r, 8 * eps)
    assert ((shares >= 0) & (shares <= 1 + 4 * eps)).all()
    torch.testing.assert_close(shares.sum(0), torch.ones(3, dtype=dtype), rtol=0, atol=20 * eps)
    total = (shares * (x - r)).sum(0)
    torch.testing.assert_close(total, x.amax(0) - r.amax(0), rtol=0, atol=300 * eps)


def test_shares_are_integrated_gradients_of_many_steps() -> None:
    """A maximum's gradient is 1 at its argmax: its mean over the line is the share of t."""
    steps = 20_000
    x, r = torch.randn(2, 9, 30, dtype=D, generator=seeded(4))
    found = shares_along_the_line(x, r, 0.0)
    middle = (torch.arange(steps, dtype=D) + 0.5) / steps
    argmax = torch.stack([(r + t * (x - r)).argmax(0) for t in middle])
    counted = F.one_hot(argmax, 9).double().mean(0).T
    torch.testing.assert_close(found, counted, rtol=0, atol=9 / steps)


def test_scores_are_integrated_gradients_where_only_the_maximum_is_not_linear() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 6, 3), nn.MaxPool1d(4, 3, padding=1, ceil_mode=True), nn.Flatten(), nn.Linear(36, 1)
    ).double()
    x, r = torch.randn(2, 3, 4, 18, dtype=D, generator=seeded(5))
    found = explained(model, x, r, "aumann-shapley")
    # The target () of one output is that output.
    stepwise = DeepLift(model, x, rule="integrated-gradients:4000", logits=False).attribute(x, r[:, None], ())
    torch.testing.assert_close(found.contributions, stepwise.contributions, rtol=0, atol=5e-3)
    assert found.completeness_error.abs().max() < 1e-12


def test_a_share_by_hand() -> None:
    """Lines from 0 to 4, 2 to 3 and 1 to 1: the first overtakes the second at t = 2/3."""
    x, r = torch.tensor([[[4.0, 3, 1]]]), torch.tensor([[[0.0, 2, 1]]])
    found = explained(Weighted(nn.MaxPool1d(3), (1, 3), torch.float32), x, r, "aumann-shapley")
    weight = found.multipliers.sum()
    torch.testing.assert_close(found.multipliers / weight, torch.tensor([[[1 / 3, 2 / 3, 0]]]))
    torch.testing.assert_close(found.contributions / weight, torch.tensor([[[4 / 3, 2 / 3, 0]]]))


def test_a_position_that_did_not_change_gets_its_share_as_multiplier() -> None:
    x, r = torch.tensor([[[1.0, 3]]]), torch.tensor([[[1.0, 0]]])
    found = explained(Weighted(nn.MaxPool1d(2), (1, 2), torch.float32), x, r, "aumann-shapley")
    torch.testing.assert_close(found.multipliers / found.multipliers.sum(), torch.tensor([[[1 / 3, 2 / 3]]]))


def test_windows_too_large_to_be_gathered_together() -> None:
    """A running maximum has a window for each position, of up to all of them."""
    length = 2100
    x, r = torch.randn(2, 1, 2, length, dtype=D, generator=seeded(6))
    for function in (lambda v: v.amax(-1), lambda v: v.cummax(-1).values[..., -1:], nn.MaxPool1d(1600, 250)):
        found = explained(Weighted(function, (2, length)), x, r, "aumann-shapley")
        assert found.completeness_error.abs().max() < 1e-9
        assert found.multipliers.count_nonzero() > 2


@pytest.mark.parametrize("rule", RULES)
def test_masked_positions_take_part_in_no_maximum(rule: str) -> None:
    """-inf at input and reference alike."""
    masked = torch.tensor([False, True, False, True, True, False])
    for function in (nn.MaxPool1d(2), nn.MaxPool1d(3), nn.AdaptiveMaxPool1d(1)):
        model = Weighted(lambda v, f=function: f(v.masked_fill(masked, -torch.inf)), (1, 6))
        x, r = torch.randn(2, 4, 1, 6, dtype=D, generator=seeded(7))
        found = explained(model, x, r, rule)
        assert found.completeness_error.abs().max() < 1e-12
        assert found.multipliers[..., masked].count_nonzero() == 0


# ---- which rule a maximum has


def pooled() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(3, 2, 2), nn.ReLU(), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(4, 1),
    ).double()  # fmt: skip


def test_layer_rules_choose_the_rule_of_each_maximum() -> None:
    x, r = torch.randn(2, 2, 4, 12, dtype=D, generator=seeded(8))

    def rules(layer_rules: dict[str, str]) -> list[str]:
        explainer = DeepLift(pooled(), x, layer_rules=layer_rules)
        assert explainer.attribute(x, r[:, None]).completeness_error.abs().max() < 1e-12
        known = "rescale", "revealcancel", *RULES
        found = {node.module: node.rule for node in explainer.nodes if node.rule in known}
        return [found[name] for name in "1245"]

    assert rules({}) == ["rescale", "switch", "rescale", "switch"]
    assert rules({"5": "aumann-shapley"}) == ["rescale", "switch", "rescale", "aumann-shapley"]
    assert rules({"*": "aumann-shapley", "2": "switch"}) == ["rescale", "switch", "rescale", "aumann-shapley"]
    assert rules({"*": "revealcancel", "2": "aumann-shapley"}) == [
        "revealcancel", "aumann-shapley", "revealcancel", "switch",
    ]  # fmt: skip
    with pytest.raises(
        OptionError,
        match=r"no operation with a rule 'aumann-shapley' .* matches '1'; such operations are in: '2', '5'",
    ):
        rules({"1": "aumann-shapley"})


@pytest.mark.parametrize("kind", ["max_pool", "adaptive_max_pool", "global_max"])
def test_a_network_with_revealcancel_after_the_maxima(kind: str) -> None:
    """m+ and m- that reach the maxima differ."""
    draw = np.random.default_rng(15)
    settings_of = {"max_pool": {"kernel": 3, "stride": 2}, "adaptive_max_pool": {"size": 3}, "global_max": {}}
    layers = [
        slow_rules.Layer("conv", "conv", ["input"], {"weight": draw.normal(size=(3, 4, 3))}),
        slow_rules.Layer("first", "act", ["conv"], {"f": "relu"}),
        slow_rules.Layer("pool", kind, ["first"], settings_of[kind]),
        slow_rules.Layer("flat", "flatten", ["pool"]),
    ]
    count = slow_rules.forward(layers, np.zeros((4, 11)))["flat"].size
    layers += [
        slow_rules.Layer("dense", "dense", ["flat"], {"weight": draw.normal(size=(4, count))}),
        slow_rules.Layer("second", "act", ["dense"], {"f": "tanh"}),
        slow_rules.Layer("last", "dense", ["second"], {"weight": draw.normal(size=(1, 4))}),
    ]
    rules = {"first": "rescale", "second": "revealcancel", "pool": "aumann-shapley"}
    x, r = (np.eye(4)[draw.integers(4, size=(6, 11))].transpose(0, 2, 1).copy() for _ in range(2))
    explainer = DeepLift(slow_rules.TorchNet(layers), layer_rules=rules, logits=False, dtype=D)
    found = explainer.attribute(torch.from_numpy(x), torch.from_numpy(r)[:, None]).multipliers
    for row in range(len(x)):
        wanted, _ = slow_rules.scores(layers, x[row], r[row], 0, rules)
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=1e-9)


def test_a_relu_before_a_pool_is_a_layer_of_its_own_under_aumann_shapley() -> None:
    x, r = torch.randn(2, 5, 4, 12, dtype=D, generator=seeded(9))
    model = pooled()
    found = explained(model, x, r, "aumann-shapley")
    for layer in "01":
        explainer = DeepLift(model, x, layer_rules={"*": "aumann-shapley"}, logits=False)
        at_layer = explainer.attribute(x, r[:, None], target=(), layer=layer)
        assert at_layer.completeness_error.abs().max() < 1e-12
    assert not torch.allclose(found.contributions, explained(model, x, r, "switch").contributions)


@pytest.mark.compiles
@pytest.mark.parametrize("rule", RULES)
def test_compiled_scores_are_those_of_single_steps(rule: str) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv1d(4, 5, 3), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(5, 6, 3), nn.MaxPool1d(3, 2, 1),
        nn.Conv1d(6, 6, 1), nn.MaxPool1d(2), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(6, 1),
    )  # fmt: skip
    x, r = torch.randn(2, 3, 4, 40, generator=seeded(10))
    plain, compiled = (explained(model, x, r, rule, compile=value) for value in (False, True))
    torch.testing.assert_close(compiled.contributions, plain.contributions, rtol=1e-4, atol=1e-6)
