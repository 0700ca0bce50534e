"""The function that an activation computes: values, derivatives, lost digits, and how it behaves far out."""

from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, call, converted_node
from deeplift_core.rules.base import UNITS, Noise, as_number

aten = torch.ops.aten

# Bounded slope on all reals whatever their constants: no need to look.
_TAME = {
    "relu", "leaky_relu", "_prelu_kernel", "elu", "celu", "sigmoid", "tanh", "softplus", "gelu", "silu",
    "mish", "hardtanh", "clamp", "clamp_min", "clamp_max", "hardsigmoid", "abs", "erf", "sin", "cos",
}  # fmt: skip


# Units of rounding by which a good kernel is off.
_USUAL = UNITS / 2

# Where Gauss and Legendre's rule of two points looks between 0 and 1.
_GAUSS = (0.5 - 12**-0.5, 0.5 + 12**-0.5)

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
        self._device = graph.device

    def __call__(self, value: Tensor, watch: Callable[[Node, Tensor, Tensor], None] | None = None) -> Tensor:
        """f, elementwise; ``watch`` sees the first argument and the result of every operation."""
        values = {self._source: value if self._dtype.is_floating_point else value.to(self._dtype)}
        for node in self._nodes:
            values[node.index] = call(node, values.__getitem__)
            if watch:
                watch(node, values[node.refs[0]], values[node.index])
        result: Tensor = as_number(values[self._output], value.dtype)
        return result

    @property
    def is_relu(self) -> bool:
        """Whether it is one call of ReLU."""
        return self._is_one_of({"relu"})

    def _is_one_of(self, names: Collection[str]) -> bool:
        """Whether it is one call of one of these operations."""
        return len(self._nodes) == 1 and self._nodes[0].op_name in names

    @cached_property
    def quotient(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """(f(x) - f(r)) / (x - r) as a function of x and r that loses no digits, where there is one."""
        if len(self._nodes) != 1:
            return None
        name, args = self._nodes[0].op_name, self._nodes[0].args
        if name == "pow" and isinstance(args[1], (int, float)) and args[1] == 2:
            name = "square"
        return _QUOTIENTS.get(name)

    def derivative(self, value: Tensor) -> Tensor:
        """f' at ``value``; at a kink what autograd takes (0 for ReLU at 0), 0 where there is none.

        A function of a mask or a count has none.
        """
        if not self._dtype.is_floating_point:
            return torch.zeros(self._output_shape, dtype=value.dtype, device=value.device)
        if self.is_relu:
            return (value > 0).to(value.dtype)
        if self._is_one_of(_DERIVATIVES):
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

    def _derivative_from_right(self, value: Tensor) -> Tensor:
        """f' just above ``value``, where one-sided derivatives differ."""
        info = torch.finfo(value.dtype)
        return self.derivative(value + (value.abs() * info.eps).clamp(min=info.tiny))

    def mean_slope(self, start: Tensor, step: Tensor, *, from_right: bool = False) -> Tensor:
        """What (f(start + step) - f(start)) / step is for steps so small that rounding hides it.

        By Gauss and Legendre's two points: off by step^4 / 4320 times the fifth derivative, and right up to
        steps whose quotient is. The derivative at ``start`` is not: in between neither has four digits.
        """
        slope = self._derivative_from_right if from_right else self.derivative
        first, second = (slope(torch.add(start, step, alpha=place)) for place in _GAUSS)
        return torch.lerp(first, second, 0.5)

    def noise(self, *values: Tensor) -> Noise:
        """By how much a difference of two of f's values may be wrong, given values of its size."""
        # ReLU rounds nothing, only its argument was; in bfloat16 8 units would be 3 % of a value.
        return Noise.of(*values, units=2 if self.is_relu else UNITS, lost=self._lost)

    @property
    def is_smooth_ramp(self) -> bool:
        """Whether it is GELU or SiLU, whose slope times a step is nowhere many times the values' size."""
        return self._is_one_of({"gelu", "silu"})

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
        if self._is_one_of(_TAME):
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

    @cached_property
    def _lost(self) -> float:
        """How far off a difference of two values may be beyond some units of rounding of these.

        The way it is written may lose digits: none of 1 + erf(x) are left where that is 1e-7, and x times
        half of it, GELU, is off by up to 1e-6 at -3, where it is -0.004.
        """
        if not self._dtype.is_floating_point or self._dtype == torch.float64 or self._device.type == "mps":
            return 0.0  # MPS has no float64
        if self._is_one_of(_TAME - {"gelu"}) or self._varies_along_first_axis:
            return 0.0
        # Many at once: torch computes single numbers by other code than whole vectors, which is more exact.
        near = torch.linspace(-10, 10, 1 << 15, dtype=self._dtype, device=self._device)
        points = near.reshape(-1, *(1,) * (self._rank - 1))
        found, exact = self(points).double(), self._in_double()(points.double())
        eps, error = torch.finfo(self._dtype).eps, (found - exact).abs()
        # A step, such as floor(3 x), may lie on the other side of a point; no lost digits are as much.
        is_step = error > eps**0.5 * exact.nan_to_num(0, 0, 0).abs().max()
        beyond = (error - _USUAL * eps * exact.abs()).masked_fill(is_step, 0)
        return 2 * max(0.0, float(beyond.nan_to_num(0, 0).max()))  # both values may be off

    @property
    def _varies_along_first_axis(self) -> bool:
        constants = (arg for node in self._nodes for arg in node.args if isinstance(arg, Tensor))
        return any(t.ndim >= self._rank and t.shape[0] > 1 for t in constants)

    def _in_double(self) -> "Formula":
        other = copy(self)
        other._nodes = [converted_node(node, torch.float64) for node in self._nodes]
        other._dtype = torch.float64
        return other

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


def _slope_of_relu(x: Tensor, r: Tensor) -> Tensor:
    """Rescale's multiplier for ReLU, 0 to 1, in few passes over memory.

    Of two numbers of different sign the share of their distance that is above 0; 1 for two positive ones, 0
    for two that are not. Where they count as equal this is the derivative, 0 at 0.
    """
    above = torch.maximum(x, r).clamp_min_(0)
    # Never quite 0, for two that are not positive: a number this small changes no distance.
    below = torch.minimum(x, r).clamp_max_(-torch.finfo(x.dtype).tiny)
    return above.div_(above - below)


# Quotients in closed form; where x and r are the same, these are the derivative (of ReLU at 0, 0).
_QUOTIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"relu": _slope_of_relu, "square": torch.add}
