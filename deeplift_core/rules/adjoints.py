"""Adjoints of the commonest operations that move, copy, sum or average values, each in one line.

They need no autograd, whose bookkeeping costs more than these operations themselves; what is not here gets
its adjoint from autograd (:mod:`deeplift_core.rules.structural`).
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph import Node, Ref
from deeplift_core.rules.base import permuted_back

aten = torch.ops.aten
# (node, shape of its source, m of its output) -> m of the source
Adjoint = Callable[[Node, torch.Size, Tensor], Tensor]


def adjoint_of(node: Node) -> Adjoint | None:
    """The adjoint in the operation's first argument, if that alone varies; None where there is none here."""
    return _ADJOINTS.get(node.op_name) if node.refs == _first_only(node) else None


def _first_only(node: Node) -> tuple[int, ...]:
    return (node.args[0].index,) if node.args and isinstance(node.args[0], Ref) else ()


def _argument(node: Node, place: int, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else default


def _permute(node: Node, shape: torch.Size, m: Tensor) -> Tensor:
    order = [axis % len(shape) for axis in node.args[1]]
    return permuted_back(m, order)


def _slice(node: Node, shape: torch.Size, m: Tensor) -> Tensor:
    axis, start, end, step = (_argument(node, 1 + i, default) for i, default in enumerate((0, None, None, 1)))
    end = shape[axis] if end is None else end
    whole: Tensor = aten.slice_backward.default(m, list(shape), axis, start or 0, end, step)
    return whole


def _spread(node: Node, shape: torch.Size, m: Tensor) -> Tensor:
    """To every element that a sum ran over."""
    axes, kept = _argument(node, 1, None), bool(_argument(node, 2, False))
    axes = list(range(len(shape))) if axes is None else [axes] if isinstance(axes, int) else list(axes)
    axes = axes or list(range(len(shape)))
    if not kept:
        ones = list(shape)
        for axis in axes:
            ones[axis] = 1
        m = m.reshape(ones)
    return m.expand(shape)


def _mean(node: Node, shape: torch.Size, m: Tensor) -> Tensor:
    return _spread(node, shape, m / (prod(shape) // max(1, m.numel())))


_ADJOINTS: dict[str, Adjoint] = {
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze"), lambda node, shape, m: m.reshape(shape)
    ),
    "permute": _permute,
    "transpose": lambda node, shape, m: m.transpose(node.args[1], node.args[2]),
    "t": lambda node, shape, m: m.t(),
    "expand": lambda node, shape, m: m.sum_to_size(shape),
    "flip": lambda node, shape, m: m.flip(node.args[1]),
    "slice": _slice,
    "select": lambda node, shape, m: aten.select_backward.default(m, list(shape), node.args[1], node.args[2]),
    "constant_pad_nd": lambda node, shape, m: aten.constant_pad_nd.default(m, [-n for n in node.args[1]]),
    "sum": _spread,
    "mean": _mean,
}
