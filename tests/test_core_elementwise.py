"""Elementwise operations with unusual arguments: what they compute decides, not how they are spelled."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplift_core import CaptureError, DeepLift, UnsupportedOpsError
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import make_rule
from deeplift_core.rules.values import PairValues

D = torch.float64
LOG_SOFTMAX = torch.ops.aten._log_softmax.default
SHIFT = torch.linspace(-1, 1, 6, dtype=D)


class Model(nn.Module):
    """Two dense layers on the input, ``function`` of both, ReLU and a dense layer."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.last = nn.Linear(12, 6), nn.Linear(12, 6), nn.Linear(6, 1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        flat = x.flatten(1)
        return self.last(torch.relu(self.function(self.a(flat), self.b(flat))))


def explained(model: nn.Module, rule: str, dtype: torch.dtype = D) -> Any:
    draw = torch.Generator().manual_seed(3)
    x, r = (torch.eye(4)[torch.randint(4, (3, 3), generator=draw)].mT.to(dtype) for _ in range(2))
    return DeepLift(model.to(dtype), x, rule=rule).attribute(x, r[:, None])


RULES = ["rescale", "revealcancel", "revealcancel-positive-first"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alpha", [1, 2, -0.5])
@pytest.mark.parametrize("other", [3.0, SHIFT], ids=["number", "tensor"])
def test_rsub_of_a_constant(other: Any, alpha: float, rule: str) -> None:
    """other - alpha (W x + b) is a dense layer with the weights -alpha W: P and Q swap for alpha > 0."""
    found = explained(Model(lambda a, b: torch.rsub(a, other, alpha=alpha)), rule)
    folded = Model(lambda a, b: a)
    with torch.no_grad():
        folded.to(D).a.weight.mul_(-alpha)
        folded.a.bias.mul_(-alpha).add_(other)
    expected = explained(folded, rule)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.output, expected.output, atol=1e-12, rtol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alpha", [1, 2, -0.5])
def test_rsub_of_two_quantities(alpha: float, rule: str) -> None:
    """b - alpha a: the sum of two dense layers, of which the first has the weights -alpha W."""
    found = explained(Model(lambda a, b: torch.rsub(a, b, alpha=alpha)), rule)
    scaled = Model(lambda a, b: a + b)
    with torch.no_grad():
        scaled.to(D).a.weight.mul_(-alpha)
        scaled.a.bias.mul_(-alpha)
    expected = explained(scaled, rule)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weight", [0.25, torch.linspace(0, 1, 6, dtype=D)], ids=["number", "tensor"])
@pytest.mark.parametrize(
    "function",
    [
        torch.lerp,
        lambda a, b, w: a + (b - a) * w,
        lambda a, b, w: w * (b - a) + a,
        lambda a, b, w: a * (1 - w) + b * w,
    ],
    ids=["lerp", "written out", "another order", "two products"],
)
def test_interpolation_between_two_quantities(function: Any, weight: Any, rule: str) -> None:
    """Each of the two has a weight of its own; the sum of dense layers with scaled weights scores alike."""
    found = explained(Model(lambda a, b: function(a, b, weight)), rule)
    scaled = Model(lambda a, b: a + b).to(D)
    with torch.no_grad():
        for layer, factor in ((scaled.a, 1 - torch.as_tensor(weight)), (scaled.b, torch.as_tensor(weight))):
            layer.weight.mul_(factor.reshape(-1, 1))
            layer.bias.mul_(factor)
    expected = explained(scaled, rule)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "rrelu",
    [
        nn.RReLU(0.1, 0.3).eval(),
        nn.RReLU(0.1, 0.3, inplace=True).eval(),
        lambda h: F.rrelu(h, 0.1, 0.3),
        lambda h: F.rrelu_(h + 0, 0.1, 0.3),
    ],
    ids=["module", "module in place", "function", "function in place"],
)
def test_rrelu_at_inference(rrelu: Callable[[Tensor], Tensor], rule: str) -> None:
    """Leaky ReLU with the mean slope."""
    found = explained(Model(lambda a, b: rrelu(a) + b), rule)
    expected = explained(Model(lambda a, b: torch.where(a > 0, a, 0.2 * a) + b), rule)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)


def test_rrelu_with_random_slopes_is_refused() -> None:
    with pytest.raises(CaptureError, match="rrelu with training=True"):
        explained(Model(lambda a, b: F.rrelu(a, training=True)), "rescale")


@pytest.mark.parametrize("place", [0, 3])
def test_log_softmax_of_a_class_that_outweighs_the_others(place: int) -> None:
    """1 - L_k / sum L of the largest L_k, about 1e-9, comes from the other classes and loses no digit."""
    logits = torch.tensor([0.5, -1.0, 1.0, 0.0, -0.5]).index_fill(0, torch.tensor(place), 21.0)
    references = logits + torch.tensor([0.7, -0.4, 0.2, 0.1, 1.3])

    def multipliers(dtype: torch.dtype) -> Tensor:
        """What the rule sends for the logarithm of that class, without float64 to check and repair sums."""
        builder = GraphBuilder(torch.device("cpu"))
        source = builder.add_input(logits[None].to(dtype))
        node = builder.nodes[builder.add(LOG_SOFTMAX, (source, 1, False), {}, logits[None].to(dtype)).index]
        rule = make_rule(builder.graph(), node)
        assert rule is not None
        x, r = ({0: v, 1: v.log_softmax(1)} for v in (logits[None].to(dtype), references[None].to(dtype)))
        m = torch.zeros(1, 5, dtype=dtype).index_fill(1, torch.tensor(place), 1.0)
        ((_, sent),) = rule.backward(PairValues(x, r, lambda _: rule, dtype), Multipliers.same(m))
        return sent.positive[0].to(D)

    exact = multipliers(D)
    assert 0 < exact[place] < 1e-7
    torch.testing.assert_close(multipliers(torch.float32), exact, rtol=1e-5, atol=0)


def test_operations_without_a_derivative_of_autograds_are_activations_all_the_same() -> None:
    """igamma(2, x) is 1 - (1 + x) exp(-x), and heaviside a comparison."""
    two, half = torch.full((6,), 2.0, dtype=D), torch.full((6,), 0.5, dtype=D)
    plain: Callable[[Tensor, Tensor], Tensor]
    for odd, plain in (
        (
            lambda a, b: torch.igamma(two, a.square() + 0.1 + 0 * b),
            lambda a, b: 1 - (1 + (s := a.square() + 0.1 + 0 * b)) * (-s).exp(),
        ),
        (lambda a, b: torch.heaviside(a, half) + b, lambda a, b: (a > 0).to(a.dtype) + b),
    ):
        for rule in ("rescale", "revealcancel"):
            found, expected = (explained(Model(function), rule) for function in (odd, plain))
            torch.testing.assert_close(found.contributions, expected.contributions, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(found.hypothetical, expected.hypothetical, rtol=1e-6, atol=1e-9)


def test_an_elementwise_operation_with_two_results_is_listed_as_one_without_a_rule() -> None:
    with pytest.raises(UnsupportedOpsError, match=r"aten\.frexp\.Tensor"):
        explained(Model(lambda a, b: torch.frexp(a)[0] + b), "rescale")
