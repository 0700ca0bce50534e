"""Traits of an elementwise function, found by evaluating it: its growth, and the digits that it loses.

The function may have constants of any shape, and each of their positions gives a function of its own. A few
positions stand for all of them: those at which a constant is smallest, largest or nearest to 0, and others at
even distances. The number of evaluations is therefore bounded, however large the constants are. The traits of
a function that a model contains a hundred times are found once.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Node, Ref, call, converted_node, tensors_in
from deeplift_core.rules.differences import UNITS
from deeplift_core.rules.values import as_number

aten = torch.ops.aten

# Functions of a bounded slope on all reals, whatever their constants are. Only GELU among them loses digits.
TAME = frozenset({
    "relu", "leaky_relu", "_prelu_kernel", "elu", "celu", "sigmoid", "tanh", "softplus", "gelu", "silu",
    "mish", "hardtanh", "clamp", "clamp_min", "clamp_max", "hardsigmoid", "abs", "erf", "sin", "cos",
})  # fmt: skip

# The error of the result of a good kernel, in units of rounding.
_USUAL = UNITS / 2

# The points at which functions are evaluated: densely around 0; then at doubling distances, because an
# exponential shows its growth only below 1e3, before it overflows; then at powers of 10 up to 1e6.
_FAR = tuple(10.0 * 2**step for step in range(7)) + tuple(10.0**power for power in range(3, 7))
_PROBES = (*(step / 2 for step in range(-20, 21)), *(sign * far for far in _FAR for sign in (1, -1)))
# Growth beyond this multiple of abs(x) is not linear.
_STEEP = 1e3

# Number of positions of the constants that are evaluated, and of those that an extreme of a constant chooses.
MOST_POSITIONS = 64
_MOST_EXTREMES = 48
# Number of points between -10 and 10 for the search for lost digits, and of points times positions.
_NEAR = 1 << 15
_MOST_VALUES = 1 << 17
# Torch's message for an operation that autograd cannot differentiate.
_NO_DERIVATIVE = "is not implemented"
# Number of functions whose traits are memoised: some kB each, with constants at the positions above only.
_REMEMBERED = 1024


class Traits(NamedTuple):
    """The behaviour of a function, at any position of its constants.

    Attributes
    ----------
    linear_growth : bool
        True if the function is defined on all reals and bounded by a multiple of abs(x).
    overflows : bool
        True if the written form overflows for large abs(x), although the function itself may not.
    derivative_breaks : bool
        True if autograd gives no finite derivative at a point where the value is finite.
    lost : float
        The error of a difference of two values beyond some units of rounding of these values: 1 + erf(x) has
        no right digits if its value is 1e-7.
    """

    linear_growth: bool
    overflows: bool
    derivative_breaks: bool
    lost: float


_WELL_BEHAVED = Traits(linear_growth=True, overflows=False, derivative_breaks=False, lost=0.0)

Watch = Callable[[Node, Tensor, Tensor], None]


class Piece(NamedTuple):
    """The operations that compute an elementwise function of one source.

    Attributes
    ----------
    nodes : tuple of Node
        The nodes in the order in which they run.
    source, output : int
        The nodes that hold x and f(x).
    dtype : torch.dtype
        The type of the source, which may be a mask or a count.
    """

    nodes: tuple[Node, ...]
    source: int
    output: int
    dtype: torch.dtype

    def __call__(self, value: Tensor, watch: Watch | None = None) -> Tensor:
        """Return f(value), element by element.

        Parameters
        ----------
        value : Tensor
            Floating-point numbers, also where the source is a mask or a count.
        watch : callable, optional
            Called with each operation, its first argument and its result.

        Returns
        -------
        Tensor
            The result in the precision of ``value``.
        """
        last_use = {ref: node.index for node in self.nodes for ref in node.refs}
        values = {self.source: value if self.dtype.is_floating_point else value.to(self.dtype)}
        for node in self.nodes:
            values[node.index] = call(node, values.__getitem__)
            if watch:
                watch(node, values[node.refs[0]], values[node.index])
            for ref in node.refs:
                if last_use[ref] == node.index and ref != self.output:
                    del values[ref]
        result: Tensor = as_number(values[self.output], value.dtype)
        return result

    def derivative(self, value: Tensor) -> Tensor:
        """Return autograd's f' at ``value``, which must have the shape of f(value); NaN if there is none.

        Autograd has no derivative of some operations, such as ``igamma``.
        """
        with torch.enable_grad():
            point = value.detach().clone().requires_grad_()
            output = self(point)
            if not output.requires_grad:  # The function is piecewise constant, such as a comparison.
                return torch.zeros_like(output)
            try:
                return torch.autograd.grad(output.sum(), point)[0]
            except RuntimeError as error:
                if _NO_DERIVATIVE not in str(error):
                    raise
                return torch.full_like(output, torch.nan)

    def in_double(self) -> "Piece":
        """Return the same function in float64."""
        nodes = tuple(converted_node(node, torch.float64) for node in self.nodes)
        return self._replace(nodes=nodes, dtype=torch.float64)

    def is_one_of(self, names: Container[str]) -> bool:
        """Return whether the piece is one call of one of these operations."""
        return len(self.nodes) == 1 and self.nodes[0].op_name in names


def traits_of(piece: Piece, device: torch.device) -> Traits:
    """Return the traits of a function, which are memoised by the function's content.

    Parameters
    ----------
    piece : Piece
    device : torch.device
        The device that evaluates the function, since rounding depends on the device.
    """
    if not piece.dtype.is_floating_point:
        return Traits(linear_growth=False, overflows=False, derivative_breaks=False, lost=0.0)
    if piece.is_one_of(TAME - {"gelu"}):
        return _WELL_BEHAVED
    with torch.inference_mode(mode=False), torch.no_grad():
        return _measured(_Sampled(piece, device))


class _Sampled:
    """A piece with its constants cut down to a few positions; equal for pieces of the same content."""

    def __init__(self, piece: Piece, device: torch.device) -> None:
        constants = [t for node in piece.nodes for t in tensors_in((node.args, node.kwargs)) if t.dim() > 0]
        chosen = _positions(constants)
        places = {index: place for place, index in enumerate([piece.source, *(n.index for n in piece.nodes)])}

        def cut(value: Any) -> Any:
            if isinstance(value, Ref):
                return Ref(places[value.index])
            if isinstance(value, Tensor) and value.dim() > 0:
                return value[_own_positions(value, chosen)]
            return type(value)(map(cut, value)) if isinstance(value, (list, tuple)) else value

        nodes = tuple(
            replace(
                node,
                index=places[node.index],
                args=cut(node.args),
                kwargs={name: cut(value) for name, value in node.kwargs.items()},
                shape=torch.Size(),
                module="",
                source="",
            )
            for node in piece.nodes
        )
        self.piece = Piece(nodes, 0, places[piece.output], piece.dtype)
        self.device = device
        self.positions = chosen[0].numel() if chosen else 1
        calls = tuple((node.op, _content((node.args, tuple(node.kwargs.items())))) for node in nodes)
        self._content = (calls, self.piece.output, piece.dtype, device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sampled) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


def _content(value: Any) -> Any:
    """Return a key that is equal, and has an equal hash, for arguments of the same content."""
    if isinstance(value, Tensor):
        in_bytes = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return value.dtype, value.shape, bytes(in_bytes.tolist())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_content, value))
    return value if isinstance(value, Ref) else (type(value), repr(value))


def _positions(constants: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Choose at most `MOST_POSITIONS` positions of the constants' common shape: an index for each axis."""
    # torch.broadcast_shapes is avoided, since its first call imports sympy, which takes most of a second.
    together = aten.broadcast_tensors.default(list(constants))
    shape = together[0].shape if constants else torch.Size()
    size = prod(shape)
    if not shape or size <= MOST_POSITIONS:
        return torch.unravel_index(torch.arange(size), shape) if shape else ()
    chosen: list[int] = []
    for constant in constants:
        if constant.numel() > 1:
            number = constant.to(torch.uint8) if constant.dtype == torch.bool else constant
            for at in (number.argmin(), number.argmax(), number.abs().argmin()):
                axes = torch.unravel_index(at.cpu(), constant.shape)
                flat = 0
                for length, place in zip(
                    shape, [0] * (len(shape) - len(axes)) + [*map(int, axes)], strict=True
                ):
                    flat = flat * length + place
                chosen.append(flat)
    chosen = list(dict.fromkeys(chosen))[:_MOST_EXTREMES]
    count = MOST_POSITIONS - len(chosen)
    even = [place * (size - 1) // (count - 1) for place in range(count)]
    return torch.unravel_index(torch.tensor(sorted({*chosen, *even})), shape)


def _own_positions(constant: Tensor, chosen: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the positions in a constant that is broadcast to the common shape of all constants."""
    own = chosen[len(chosen) - constant.dim() :]
    return tuple(
        index.to(constant.device) if length > 1 else torch.zeros_like(index, device=constant.device)
        for index, length in zip(own, constant.shape, strict=True)
    )


@lru_cache(maxsize=_REMEMBERED)
def _measured(sampled: _Sampled) -> Traits:
    far_out = _WELL_BEHAVED if sampled.piece.is_one_of(TAME) else _far_out(sampled)
    return far_out._replace(lost=_lost(sampled))


def _far_out(sampled: _Sampled) -> Traits:
    """Return all traits but the lost digits, from values [probes, positions]."""
    piece = sampled.piece
    x = torch.tensor(_PROBES, dtype=piece.dtype, device=sampled.device).unsqueeze(-1)
    seen = torch.zeros(len(_PROBES), sampled.positions, dtype=torch.bool, device=sampled.device)
    undefined, pole = seen.clone(), seen[0].clone()

    def watch(node: Node, argument: Tensor, result: Tensor) -> None:
        """Note whether an operation is undefined at a point, rather than too large, or has a pole.

        An operation with a pole divides by its argument: 0, or numbers of both signs, show the pole.
        """
        nonlocal pole
        if _has_pole(node):
            both = (argument > 0).any(0) & (argument < 0).any(0)
            pole = pole | both | (argument == 0).any(0)
        if result.is_floating_point():
            first = ~result.isfinite() & ~seen
            undefined.logical_or_(first & result.isnan())
            seen.logical_or_(first)

    y = piece(x, watch).expand(seen.shape)
    finite = y.isfinite()
    grows = ~finite & (undefined | (x.abs() <= 4))
    # A function that overflows for large abs(x) shows its growth only at smaller values.
    from_where = torch.where(finite.all(0), _STEEP, 1.0)
    grows = grows | (finite & (y.abs() > _STEEP * x.abs()) & (x.abs() >= from_where))
    breaks = finite & ((x == 0) | (x.abs() > 10)) & ~piece.derivative(x.expand(seen.shape)).isfinite()
    return Traits(
        linear_growth=not bool(grows.any() | pole.any()),
        overflows=not bool(finite.all()),
        derivative_breaks=bool(breaks.any()),
        lost=0.0,
    )


def _has_pole(node: Node) -> bool:
    """Return whether the operation divides by its argument; quotients are recorded as reciprocals."""
    exponent = node.args[1] if node.op_name == "pow" else 0
    return node.op_name in ("reciprocal", "rsqrt") or (isinstance(exponent, (int, float)) and exponent < 0)


def _lost(sampled: _Sampled) -> float:
    """Return `Traits.lost`: the error against float64 beyond the error of a good kernel.

    GELU as x times half of 1 + erf is off by up to 1e-6 at -3, where it is -0.004.
    """
    piece = sampled.piece
    if piece.dtype == torch.float64 or sampled.device.type == "mps":  # MPS has no float64
        return 0.0
    # Many points are evaluated at once, since torch's code for single numbers is more exact than its code for
    # vectors.
    count = min(_NEAR, _MOST_VALUES // sampled.positions)
    points = torch.linspace(-10, 10, count, dtype=piece.dtype, device=sampled.device).unsqueeze(-1)
    found, exact = piece(points).double(), piece.in_double()(points.double())
    eps, error = torch.finfo(piece.dtype).eps, (found - exact).abs()
    # A step, such as that of floor(3 x), may lie on the other side of a point; lost digits are never as much.
    is_step = error > eps**0.5 * exact.nan_to_num(0, 0, 0).abs().amax(0)
    beyond = (error - _USUAL * eps * exact.abs()).masked_fill(is_step, 0)
    return 2 * max(0.0, float(beyond.nan_to_num(0, 0).max()))  # Both values of a difference may be off.
