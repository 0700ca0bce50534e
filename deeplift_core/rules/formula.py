"""The function that an activation computes: values, derivatives, and how its differences are rounded."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from deeplift_core.graph import Graph
from deeplift_core.rules.differences import UNITS, Noise
from deeplift_core.rules.rule import NoRuleError
from deeplift_core.rules.traits import Piece, traits_of

aten = torch.ops.aten

# The two points between 0 and 1 of Gauss and Legendre's quadrature.
_GAUSS = (0.5 - 12**-0.5, 0.5 + 12**-0.5)


class Formula:
    """The function y = f(x) that a piece of the graph computes from one source.

    The constructor determines the traits of the function (:mod:`deeplift_core.rules.traits`), so that threads
    may share a formula.

    Parameters
    ----------
    graph : Graph
        The recorded graph.
    source, output : int
        The nodes that hold x and y.
    body : sequence of int
        The nodes between them, in order, ``output`` last.

    Attributes
    ----------
    only : Node or None
        The operation, if f is a single call.
    is_relu : bool
        True if f is one call of ReLU.
    grows_at_most_linearly : bool
        True if f is defined on all reals with abs(f(x)) / abs(x) bounded, as far as values up to 1e6 show.
        RevealCancel evaluates f outside the interval between reference and input, so that exp, log, powers
        and reciprocals must not get RevealCancel.
    overflows : bool
        True if the written form of f may be infinite where the function is not, such as log(1 + exp(x)).

    Raises
    ------
    NoRuleError
        If x is a complex number, which has no difference of one sign.
    """

    def __init__(self, graph: Graph, source: int, output: int, body: Sequence[int]) -> None:
        nodes = [graph.nodes[index] for index in body]
        if graph.nodes[source].dtype.is_complex:
            raise NoRuleError(
                "complex numbers in a piece that is not linear in the input, because of "
                f"{nodes[0].describe()}: it is not known to be linear"
            )
        # A part of the function without gradients (detach) is still a part of the function.
        nodes = [replace(n, op=aten.alias.default) if n.op is aten.detach.default else n for n in nodes]
        self._piece = Piece(tuple(nodes), source, output, graph.nodes[source].dtype)
        self._output_shape = graph.nodes[output].shape
        self.only = nodes[0] if len(nodes) == 1 else None
        self.is_relu = self._piece.is_one_of({"relu"})
        traits = traits_of(self._piece, graph.device)
        self.grows_at_most_linearly, self.overflows = traits.linear_growth, traits.overflows
        self._derivative_breaks, self._lost = traits.derivative_breaks, traits.lost

    def __call__(self, value: Tensor) -> Tensor:
        """Return f, element by element."""
        return self._piece(value)

    def derivative(self, value: Tensor) -> Tensor:
        """Return f' at ``value``; at a kink autograd's choice (0 for ReLU at 0), 0 without a derivative.

        A function of a mask or a count has no derivative.
        """
        if not self._piece.dtype.is_floating_point:
            return torch.zeros(self._output_shape, dtype=value.dtype, device=value.device)
        slope = self._piece.derivative(value.expand(self._output_shape))
        if not self._derivative_breaks:
            return slope
        step = value.abs().clamp(min=1) * torch.finfo(value.dtype).eps ** (1 / 3)
        slope = torch.where(slope.isfinite(), slope, (self(value + step) - self(value - step)) / (2 * step))
        return torch.where(slope.isfinite(), slope, 0)

    def _derivative_from_right(self, value: Tensor) -> Tensor:
        """Return f' just above ``value``, which matters where one-sided derivatives differ."""
        info = torch.finfo(value.dtype)
        return self.derivative(value + (value.abs() * info.eps).clamp(min=info.tiny))

    def mean_slope(self, start: Tensor, step: Tensor, *, from_right: bool = False) -> Tensor:
        """Return (f(start + step) - f(start)) / step for steps so small that rounding hides the difference.

        This is the mean of f' over the step, by Gauss and Legendre's quadrature with two points. Its error is
        step^4 / 4320 times the fifth derivative, which is small up to steps whose quotient is right. The
        derivative at ``start`` is less exact: for steps in between it has fewer than four right digits.
        """
        slope = self._derivative_from_right if from_right else self.derivative
        first, second = (slope(torch.add(start, step, alpha=place)) for place in _GAUSS)
        return torch.lerp(first, second, 0.5)

    def noise(self, *values: Tensor) -> Noise:
        """Return the error of a difference of two of f's values, given values of the same size."""
        # ReLU itself rounds nothing, only its argument was rounded; in bfloat16 8 units are 3 % of a value.
        return Noise.of(*values, units=2 if self.is_relu else UNITS, lost=self._lost)
