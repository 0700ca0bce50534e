"""Activations: Rescale and RevealCancel (paper, sections 3.5.2 and 3.5.3).

An activation is a maximal elementwise piece of the graph with a single varying source: one ``gelu`` call
or x * Phi(x) written out give the same scores. Its formula is evaluated by running the recorded
operations again on other values of the source.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, call
from deeplift_core.rule_names import ActivationRule
from deeplift_core.rules.base import (
    Multipliers,
    Parts,
    Rule,
    Sent,
    Walk,
    as_number,
    beyond,
    quotient,
    resolution,
    scaled_multipliers,
    sum_to_shape,
)

aten = torch.ops.aten

# Bounded slope on all reals whatever their constants: no need to look.
_TAME = {
    "relu", "leaky_relu", "_prelu_kernel", "elu", "celu", "sigmoid", "tanh", "softplus", "gelu", "silu",
    "mish", "hardtanh", "clamp", "clamp_min", "clamp_max", "hardsigmoid", "abs", "erf", "sin", "cos",
}  # fmt: skip


# Dense enough below 1e3 to see what an exponential does before it overflows.
_FAR = tuple(10.0 * 2**step for step in range(7)) + tuple(10.0**power for power in range(3, 7))
_PROBES = (*(step / 2 for step in range(-20, 21)), *(sign * far for far in _FAR for sign in (1, -1)))


def _has_pole(node: Node) -> bool:
    """Whether the operation divides by its argument; quotients are recorded through the reciprocal."""
    exponent = node.args[1] if node.op_name == "pow" else 0
    return node.op_name in ("reciprocal", "rsqrt") or (isinstance(exponent, (int, float)) and exponent < 0)


class _Traits(NamedTuple):
    """What a formula does far from where it was recorded.

    Attributes
    ----------
    linear_growth : bool
        Whether it is defined on all reals and bounded by a multiple of abs(x).
    overflows : bool
        Whether the way it is written overflows far out, although the function itself may not.
    derivative_breaks : bool
        Whether autograd gives no finite derivative somewhere where the value is finite.
    """

    linear_growth: bool
    overflows: bool
    derivative_breaks: bool


class Formula:
    """The function y = f(x) that a piece of the graph computes from one source.

    Parameters
    ----------
    graph : Graph
        The recorded graph.
    source, output : int
        The nodes that hold x and y.
    body : sequence of int
        The nodes between them, in order, ``output`` last.
    """

    def __init__(self, graph: Graph, source: int, output: int, body: Sequence[int]) -> None:
        nodes = [graph.nodes[index] for index in body]
        # What a model cuts off from its training is a part of the function all the same.
        self._nodes = [replace(n, op=aten.alias.default) if n.op is aten.detach.default else n for n in nodes]
        self._source = source
        self._output = output
        self._rank = len(graph.nodes[source].shape)
        self._output_shape = graph.nodes[output].shape
        self._dtype = graph.nodes[source].dtype  # a mask or a count, perhaps

    def __call__(self, value: Tensor, watch: Callable[[Node, Tensor, Tensor], None] | None = None) -> Tensor:
        """f, elementwise; ``watch`` sees the first argument and the result of every operation."""
        values = {self._source: value if self._dtype.is_floating_point else value.to(self._dtype)}
        for node in self._nodes:
            values[node.index] = call(node, values.__getitem__)
            if watch:
                watch(node, values[node.refs()[0]], values[node.index])
        result: Tensor = as_number(values[self._output], value.dtype)
        return result

    @property
    def is_relu(self) -> bool:
        """Whether it is one call of ReLU."""
        return len(self._nodes) == 1 and self._nodes[0].op_name == "relu"

    def derivative(self, value: Tensor) -> Tensor:
        """f' at ``value``; at a kink what autograd takes (0 for ReLU at 0), 0 where there is none.

        A function of a mask or a count has none.
        """
        if not self._dtype.is_floating_point:
            return torch.zeros(self._output_shape, dtype=value.dtype, device=value.device)
        if self.is_relu:
            return (value > 0).to(value.dtype)
        if len(self._nodes) == 1 and self._nodes[0].op_name in _DERIVATIVES:
            return _DERIVATIVES[self._nodes[0].op_name](self._nodes[0], value)
        slope = self._autograd(value.expand(self._output_shape))
        if not self._traits.derivative_breaks:
            return slope
        step = value.abs().clamp(min=1) * torch.finfo(value.dtype).eps ** (1 / 3)
        slope = torch.where(slope.isfinite(), slope, (self(value + step) - self(value - step)) / (2 * step))
        return torch.where(slope.isfinite(), slope, 0)

    def _autograd(self, value: Tensor) -> Tensor:
        with torch.enable_grad():
            point = value.detach().clone().requires_grad_()
            output = self(point)
            if not output.requires_grad:  # piecewise constant, such as a comparison
                return torch.zeros_like(output)
            return torch.autograd.grad(output.sum(), point)[0]

    def derivative_from_right(self, value: Tensor) -> Tensor:
        """f' just above ``value``, where one-sided derivatives differ."""
        info = torch.finfo(value.dtype)
        return self.derivative(value + (value.abs() * info.eps).clamp(min=info.tiny))

    @property
    def grows_at_most_linearly(self) -> bool:
        """Whether f is defined on all reals with |f(x)| / |x| bounded, tried up to 1e6.

        RevealCancel evaluates f outside the interval between reference and input, so exp, log, powers
        and reciprocals must not get it.
        """
        return self._traits.linear_growth

    @property
    def overflows(self) -> bool:
        """Whether f as it is written may be infinite where the function is not: log(1 + exp(x))."""
        return self._traits.overflows

    @cached_property
    def _traits(self) -> _Traits:
        if not self._dtype.is_floating_point:
            return _Traits(linear_growth=False, overflows=False, derivative_breaks=False)
        if len(self._nodes) == 1 and self._nodes[0].op_name in _TAME:
            return _Traits(linear_growth=True, overflows=False, derivative_breaks=False)
        grows, overflows, breaks = False, False, False
        largest: dict[float, float] = {}
        signs: dict[int, set[float]] = {}
        for probe in _PROBES:
            value, undefined = self._probe(probe, signs)
            if value.isfinite().all():
                largest[probe] = float(value.abs().max())
                breaks = breaks or ((probe == 0 or abs(probe) > 10) and self._breaks(probe, value.shape))
            else:
                overflows = True
                grows = grows or undefined or abs(probe) <= 4
        from_where = 1 if overflows else 1e3  # where it overflows, only nearer by can be seen how it grows
        grows = grows or any(y > 1e3 * abs(x) for x, y in largest.items() if abs(x) >= from_where)
        pole = any({-1.0, 1.0} <= found or 0.0 in found for found in signs.values())
        return _Traits(not (grows or pole), overflows, breaks)

    def _probe(self, probe: float, signs: dict[int, set[float]]) -> tuple[Tensor, bool]:
        """f(probe), and whether it is undefined there rather than too large on the way.

        Adds to ``signs`` those of what operations with a pole divide by: both signs, or 0, are a pole.
        """
        first: list[bool] = []

        def watch(node: Node, argument: Tensor, result: Tensor) -> None:
            if _has_pole(node) and not argument.isnan().any():
                signs.setdefault(node.index, set()).update(float(x.sign()) for x in argument.aminmax())
            if result.is_floating_point() and not result.isfinite().all():
                first.append(bool(result.isnan().any()))

        value = self(self._point(probe), watch)
        return value, bool(first and first[0])

    def _breaks(self, probe: float, shape: torch.Size) -> bool:
        return not bool(self._autograd(self._point(probe).expand(shape)).isfinite().all())

    def _point(self, probe: float) -> Tensor:
        return torch.full((1,) * self._rank, probe, dtype=self._dtype, device=self._device)

    @property
    def _device(self) -> torch.device:
        tensors = (arg for node in self._nodes for arg in node.args if isinstance(arg, Tensor))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _of_gelu(node: Node, value: Tensor) -> Tensor:
    slope: Tensor = aten.gelu_backward.default(_ones(value), value, **node.kwargs)
    return slope


def _of_silu(node: Node, value: Tensor) -> Tensor:
    del node
    slope: Tensor = aten.silu_backward.default(_ones(value), value)
    return slope


def _ones(value: Tensor) -> Tensor:
    return value.new_ones(()).expand(value.shape)


# Derivatives of common functions of one call; autograd would compute the function once more first.
_DERIVATIVES = {"gelu": _of_gelu, "silu": _of_silu}


class Activation(Rule):
    """One activation with one of the rules.

    Parameters
    ----------
    graph, node
        The graph, and the node that holds the activation's output.
    source : int
        Node that holds its input.
    body : sequence of int
        The operations between the two, the output's last.
    rule : {"rescale", "revealcancel", "revealcancel-positive-first"}
        RevealCancel falls back to Rescale where the activation is not defined on all reals with at
        most linear growth.
    """

    label: ClassVar[str] = "activation"

    def __init__(
        self, graph: Graph, node: Node, source: int, body: Sequence[int], rule: ActivationRule
    ) -> None:
        super().__init__(graph, node)
        self.source = source
        self.sources = (source,)
        self.body = tuple(body)
        self.formula = Formula(graph, source, node.index, body)
        self.rule: ActivationRule = rule
        if rule != "rescale" and not self.formula.grows_at_most_linearly:
            self.rule = "rescale"

    @property
    def name(self) -> str:
        """The rule's own name."""
        return self.rule

    @property
    def saved(self) -> set[int]:
        """ReLU's own values follow from its input's."""
        return {self.source} if self.formula.is_relu and self.rule == "rescale" else super().saved

    def splits(self, given: bool) -> bool:
        """RevealCancel tells rises from falls, Rescale does not."""
        return given or self.rule != "rescale"

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """Multiply by the response to each part; a negative response swaps m+ with m-."""
        if self.rule == "rescale":
            sent = scaled_multipliers(m, walk.once(self.node.index, self._rescale))
        else:
            to_rise, to_fall = walk.once(self.node.index, self._revealcancel)
            sent = Multipliers(
                to_rise * torch.where(to_rise >= 0, m.positive, m.negative)
                if m.split
                else to_rise * m.positive,
                to_fall * torch.where(to_fall >= 0, m.negative, m.positive)
                if m.split
                else to_fall * m.positive,
            )
        shape = self.graph.nodes[self.source].shape
        return [(self.source, sent.each(lambda value: sum_to_shape(value, shape)))]

    def parts(self, walk: Walk) -> Parts:
        """What the input's P and Q turn into; RevealCancel's y+ and y- where they have those signs."""
        given = walk.parts(self.source)
        if self.rule == "rescale":
            return given.scaled(walk.once(self.node.index, self._rescale))
        to_rise, to_fall = walk.once(self.node.index, self._revealcancel)
        rise, fall = to_rise * given.positive, to_fall * given.negative
        return Parts(rise.clamp(min=0) + fall.clamp(min=0), rise.clamp(max=0) + fall.clamp(max=0))

    def _values(self, walk: Walk) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        here, there = self.source, self.node.index
        return walk.x[here], walk.reference[here], walk.x[there], walk.reference[there]

    def _rescale(self, walk: Walk) -> Tensor:
        """Delta y / Delta x; the derivative at the reference's input where Delta x is too small."""
        if self.formula.is_relu:
            return slope_of_relu(walk.x[self.source], walk.reference[self.source])
        x, r, y, y0 = self._values(walk)
        delta = x - r
        # Where y is far from y0, so that this noise is too little, the quotient is as good as y itself.
        above, noise = beyond(delta, resolution(r)), resolution(y0, units=2)
        return quotient(y - y0, delta, above, self.formula.derivative(r), noise)

    def _revealcancel(self, walk: Walk) -> tuple[Tensor, Tensor]:
        """Multipliers y+/P and y-/Q; a part that counts as 0 gets the limit, from the right."""
        x, r, y, y0 = self._values(walk)
        f = self.formula
        rise, fall = walk.parts(self.source)
        with_rise, with_fall = r + rise, r + fall
        f_rise = f(with_rise)
        smallest = resolution(x, r, with_rise, with_fall)
        slope_above = f.derivative_from_right
        if self.rule == "revealcancel":
            f_fall, slope = f(with_fall), slope_above(r)
            gained, lost = (f_rise - y0 + y - f_fall) / 2, (f_fall - y0 + y - f_rise) / 2
            limit_rise, limit_fall = ((slope + slope_above(value)) / 2 for value in (with_fall, with_rise))
        else:
            gained, lost = f_rise - y0, y - f_rise
            limit_rise, limit_fall = slope_above(r), slope_above(with_rise)
        noise = resolution(y, y0, f_rise, units=2)
        to_rise = quotient(gained, rise, beyond(rise, smallest), limit_rise, noise)
        to_fall = quotient(lost, fall, beyond(fall, smallest), limit_fall, noise)
        if f.overflows:  # beyond what can be evaluated: Rescale, which stays between reference and input
            finite, slope = to_rise.isfinite() & to_fall.isfinite(), self._rescale(walk)
            return torch.where(finite, to_rise, slope), torch.where(finite, to_fall, slope)
        return to_rise, to_fall


def slope_of_relu(x: Tensor, r: Tensor) -> Tensor:
    """Rescale's multiplier for ReLU, 0 to 1, in few passes over memory.

    Of two numbers of different sign the share of their distance that is above 0; 1 for two positive ones, 0
    for two that are not. Where they count as equal this is the derivative, 0 at 0.
    """
    above = torch.maximum(x, r).clamp_min_(0)
    # Never quite 0, for two that are not positive: a number this small changes no distance.
    below = torch.minimum(x, r).clamp_max_(-torch.finfo(x.dtype).tiny)
    return above.div_(above - below)
