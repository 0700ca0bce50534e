"""The traits of activations: few evaluations find the right ones, and a formula is complete when made."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deeplift_core import DeepLift
from deeplift_core.capture import record_function
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.rules import traits
from deeplift_core.rules.formula import Formula

SHAPE = (2, 16, 500)


def formula_of(
    function: Callable[[Tensor], Tensor], shape: tuple[int, ...] = SHAPE, before: int = 0
) -> Formula:
    """The formula of ``function``, in a graph that begins with ``before`` other nodes."""
    builder = GraphBuilder(torch.device("cpu"))
    value = torch.zeros(shape)
    ref = builder.add_input(value)
    for _ in range(before):
        ref = builder.add(torch.ops.aten.neg.default, (ref,), {}, value)
    graph, output = record_function(builder.graph(), ref.index, value, function)
    return Formula(graph, ref.index, output, range(ref.index + 1, output + 1))


class _Sizes(TorchDispatchMode):
    """Sums up how many values all calls together give."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.total += sum(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


@pytest.mark.parametrize("shape", [(1,), (16, 1), (1, 16, 500), (1, 64, 2000)])
def test_evaluations_do_not_grow_with_the_constants(shape: tuple[int, ...]) -> None:
    """At the size of all constants, [16, 500] values took 10 GiB and 90 s."""
    constant = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with _Sizes() as sizes:
        formula = formula_of(
            lambda h: torch.where(h > constant, h, 0.1 * h), (2, *torch.zeros(shape).shape[-2:])
        )
    assert formula.grows_at_most_linearly
    assert sizes.total < 40 * traits._MOST_VALUES + 40 * constant.numel()


def test_a_function_of_the_same_content_is_evaluated_once() -> None:
    """Wherever in a graph its operations are; a constant of other content is another function."""
    constant = torch.randn(1, 16, 1, generator=torch.Generator().manual_seed(5))
    traits._measured.cache_clear()
    for before in range(20):
        formula_of(lambda h: torch.tanh(h * constant.clone()) * h, before=before)
    assert traits._measured.cache_info().misses == 1
    formula_of(lambda h: torch.tanh(h * (constant + 1)) * h)
    formula_of(lambda h: torch.tanh(h * constant) + h)
    formula_of(lambda h: torch.tanh(h.double() * constant) * h)
    assert traits._measured.cache_info().misses == 4


def test_a_formula_is_complete_when_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to find out while scores are computed, perhaps by several threads."""
    formula = formula_of(lambda h: h * torch.sigmoid(1.7 * h) + torch.log(1 + torch.exp(h)))

    def fail(*_: Any) -> None:
        raise AssertionError("evaluated again")

    for name in ("traits_of", "_measured", "_far_out", "_lost"):
        monkeypatch.setattr(traits, name, fail)
    x = torch.zeros(SHAPE)
    formula.mean_slope(x, x + 1e-3, from_right=True)
    assert formula.noise(x).lost > 0
    assert formula.overflows
    assert formula.grows_at_most_linearly


def _one(value: float, place: int, other: float) -> Tensor:
    constant = torch.full((1, 16, 500), other)
    constant.view(-1)[place] = value
    return constant


@pytest.mark.parametrize("place", [0, 137, 4321, 7999])
@pytest.mark.parametrize(
    ("function", "odd", "usual"),
    [
        (lambda h, c: torch.where(h > 0, h, c * h), 1e5, 0.1),
        (lambda h, c: torch.where(h > 0, h, c * h), -1e5, 0.1),
        (lambda h, c: 1 / (h * h + c), 0.0, 1.0),
        (lambda h, c: 1 / (h * h + c), -2.0, 1.0),
        (lambda h, c: torch.exp(-c * h * h), -1.0, 1.0),
        (lambda h, c: torch.sqrt(h * h + c), -1.0, 1.0),
    ],
)
def test_one_position_decides(
    function: Callable[[Tensor, Tensor], Tensor], odd: float, usual: float, place: int
) -> None:
    """RevealCancel must not evaluate a function outside of where it is defined, at any of 8000 positions."""
    assert formula_of(lambda h: function(h, _one(usual, place, usual))).grows_at_most_linearly
    assert not formula_of(lambda h: function(h, _one(odd, place, usual))).grows_at_most_linearly


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=40))
def test_constants_side_by_side_are_so_many_functions(constants: list[float]) -> None:
    """A function with a row of constants has a trait where the function of one of them alone has it."""

    def function(h: Tensor, c: Any) -> Tensor:
        return h * torch.sigmoid(c * h) + 1 / (h * h + (c + 2)) + torch.exp(c * h).clamp(max=1e30)

    def found(c: Any) -> list[bool]:
        formula = formula_of(lambda h: function(h, c), (2, len(constants)))
        return [not formula.grows_at_most_linearly, formula.overflows, formula._derivative_breaks]

    alone = [found(torch.tensor([c])) for c in constants]
    assert found(torch.tensor(constants)) == [any(one) for one in zip(*alone, strict=True)]


def test_constants_that_broadcast_against_each_other() -> None:
    """A mask, counts, a scale for each channel and a shift for each position, in one activation."""
    draw = torch.Generator().manual_seed(2)
    scale, shift = torch.rand(16, 1, generator=draw), torch.randn(1, 1, 500, generator=draw)
    mask, counts = torch.rand(500, generator=draw) > 0.5, torch.arange(16).reshape(16, 1)
    slopes = torch.rand(16, generator=draw)

    def function(h: Tensor) -> Tensor:
        inner = torch.where(mask, h * scale + shift, nn.functional.prelu(h, slopes))
        return torch.tanh(inner.masked_fill(mask, 0.5)) + h / (counts + 1)

    formula = formula_of(function)
    assert formula.grows_at_most_linearly
    assert not formula.overflows


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
def test_scores_with_a_threshold_for_each_position(rule: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.last = nn.Conv1d(4, 16, 3, padding=1), nn.Linear(16 * 500, 1)
            self.threshold = nn.Parameter(torch.randn(1, 16, 500))

        def forward(self, x: Tensor) -> Any:
            h = self.conv(x)
            return self.last(torch.where(h > self.threshold, h, 0.1 * h).flatten(1))

    x = torch.eye(4)[torch.randint(4, (2, 500), generator=torch.Generator().manual_seed(1))].mT.double()
    result = DeepLift(Model().double(), x, rule=rule).attribute(x, x.flip(2)[:, None])
    assert result.completeness_error.abs().max() < 1e-12
