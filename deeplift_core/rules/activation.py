"""Activations: Rescale and RevealCancel (paper, sections 3.5.2 and 3.5.3).

An activation is a maximal elementwise piece of the graph with a single varying source: one ``gelu`` call
or x * Phi(x) written out give the same scores. Its formula is evaluated by running the recorded
operations again on other values of the source.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

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
    resolution,
    scaled_multipliers,
    sum_to_shape,
)

# Bounded slope on all reals whatever their constants: no need to look.
_TAME = {
    "relu", "leaky_relu", "_prelu_kernel", "elu", "celu", "sigmoid", "tanh", "softplus", "gelu", "silu",
    "mish", "hardtanh", "clamp", "clamp_min", "clamp_max", "hardsigmoid", "abs", "erf", "sin", "cos",
}  # fmt: skip


def _has_pole(node: Node) -> bool:
    """Whether the operation divides by its argument; quotients are recorded through the reciprocal."""
    exponent = node.args[1] if node.op_name == "pow" else 0
    return node.op_name in ("reciprocal", "rsqrt") or (isinstance(exponent, (int, float)) and exponent < 0)


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
        self._nodes = [graph.nodes[index] for index in body]
        self._source = source
        self._output = output
        self._shape = graph.nodes[source].shape
        self._output_shape = graph.nodes[output].shape
        self._dtype = graph.nodes[source].dtype

    def __call__(self, value: Tensor, watch: Callable[[Node, Tensor], None] | None = None) -> Tensor:
        """f, elementwise; ``watch`` sees every argument of an operation that may have a pole."""
        values = {self._source: value}
        for node in self._nodes:
            if watch and _has_pole(node):
                watch(node, values[node.refs()[0]])
            values[node.index] = call(node, values.__getitem__)
        return values[self._output]

    def derivative(self, value: Tensor) -> Tensor:
        """f' at ``value``; at a kink what autograd takes (0 for ReLU at 0)."""
        if len(self._nodes) == 1 and self._nodes[0].op_name == "relu":
            return (value > 0).to(value.dtype)
        with torch.enable_grad():
            point = value.detach().expand(self._output_shape).clone().requires_grad_()
            output = self(point)
            if not output.requires_grad:  # piecewise constant, such as a comparison
                return torch.zeros_like(output)
            return torch.autograd.grad(output.sum(), point)[0]

    def derivative_from_right(self, value: Tensor) -> Tensor:
        """f' just above ``value``, where one-sided derivatives differ."""
        info = torch.finfo(value.dtype)
        return self.derivative(value + (value.abs() * info.eps).clamp(min=info.tiny))

    @cached_property
    def grows_at_most_linearly(self) -> bool:
        """Whether f is defined on all reals with |f(x)| / |x| bounded, tried up to 1e6.

        RevealCancel evaluates f outside the interval between reference and input, so exp, log, powers
        and reciprocals must not get it. Poles are found by a change of sign of what they divide by.
        """
        if len(self._nodes) == 1 and self._nodes[0].op_name in _TAME:
            return True
        signs: dict[int, set[float]] = {}

        def watch(node: Node, argument: Tensor) -> None:
            seen = {float(torch.sign(extreme)) for extreme in argument.aminmax()}
            signs.setdefault(node.index, set()).update(seen)

        large = [sign * 10.0**power for power in range(1, 7) for sign in (1, -1)]
        for probe in [*(step / 4 for step in range(-40, 41)), *large]:
            point = torch.full(self._shape, probe, dtype=self._dtype, device=self._device)
            value = self(point, watch)
            if not bool(torch.isfinite(value).all()):
                return False
            if abs(probe) >= 1e3 and float(value.abs().max()) > 1e3 * abs(probe):
                return False
        return all(not ({-1.0, 1.0} <= found or 0.0 in found) for found in signs.values())

    @property
    def _device(self) -> torch.device:
        tensors = (arg for node in self._nodes for arg in node.args if isinstance(arg, Tensor))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))


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

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """Multiply by the response to each part; a negative response swaps m+ with m-."""
        if self.rule == "rescale":
            sent = scaled_multipliers(m, self._rescale(walk))
        else:
            to_rise, to_fall = self._revealcancel(walk)
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
            return given.scaled(self._rescale(walk))
        to_rise, to_fall = self._revealcancel(walk)
        rise, fall = to_rise * given.positive, to_fall * given.negative
        return Parts(rise.clamp(min=0) + fall.clamp(min=0), rise.clamp(max=0) + fall.clamp(max=0))

    def _values(self, walk: Walk) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        here, there = self.source, self.node.index
        return walk.x[here], walk.reference[here], walk.x[there], walk.reference[there]

    def _rescale(self, walk: Walk) -> Tensor:
        """Delta y / Delta x; the derivative at the reference's input where Delta x counts as 0."""
        _, r, y, y0 = self._values(walk)
        delta = walk.delta(self.source)
        still = delta == 0
        slope = (y - y0) / torch.where(still, 1, delta)
        return torch.where(still, self.formula.derivative(r), slope)

    def _revealcancel(self, walk: Walk) -> tuple[Tensor, Tensor]:
        """Multipliers y+/P and y-/Q; a part that counts as 0 gets the limit, from the right."""
        x, r, y, y0 = self._values(walk)
        f = self.formula
        rise, fall = walk.parts(self.source)
        with_rise, with_fall = r + rise, r + fall
        f_rise = f(with_rise)
        rounding = resolution(x, r, with_rise, with_fall)
        no_rise, no_fall = rise <= rounding, -fall <= rounding
        above = f.derivative_from_right
        if self.rule == "revealcancel":
            f_fall, slope = f(with_fall), above(r)
            gained, lost = (f_rise - y0 + y - f_fall) / 2, (f_fall - y0 + y - f_rise) / 2
            limit_rise, limit_fall = (slope + above(with_fall)) / 2, (slope + above(with_rise)) / 2
        else:
            gained, lost = f_rise - y0, y - f_rise
            limit_rise, limit_fall = above(r), above(with_rise)
        return (
            torch.where(no_rise, limit_rise, gained / torch.where(no_rise, 1, rise)),
            torch.where(no_fall, limit_fall, lost / torch.where(no_fall, 1, fall)),
        )
