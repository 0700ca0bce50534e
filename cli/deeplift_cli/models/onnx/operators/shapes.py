"""Operators that rearrange: shapes, axes, parts and padding.

Constant arguments are numbers of the module; other arguments are tensors that were computed from the shapes
of other tensors.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes, has_input, whole_numbers
from deeplift_cli.models.onnx.registry import Conversion, call, operator


@operator("Reshape")
def reshape(node: NodeProto, graph: Graph) -> Conversion:
    """Reshape; `allowzero` matters for empty tensors only."""
    shape = attributes(node).get("shape") or whole_numbers(graph.constant(node, 1))
    if shape is None:
        return call(_reshape, node, attrs={})
    return Conversion(Reshape(shape), (node.input[0],))


class Reshape(nn.Module):
    """Reshape to a constant shape: 0 copies an axis of the input, -1 is worked out."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(self.shape)])


def _reshape(x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(shape.tolist())])


@operator("Expand", "Tile")
def expand(node: NodeProto, graph: Graph) -> Conversion:
    """Broadcast with a shape (in both directions, as ONNX does), or repeat each axis."""
    function, by_tensor = (
        (_expand, _expand_by_tensor) if node.op_type == "Expand" else (_tile, _tile_by_tensor)
    )
    shape = whole_numbers(graph.constant(node, 1))
    if shape is None:
        return call(by_tensor, node, attrs={})
    return call(function, node, node.input[:1], {"shape": shape})


def _expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))  # type: ignore[no-untyped-call]


def _expand_by_tensor(x: Tensor, shape: Tensor) -> Tensor:
    return _expand(x, shape.tolist())


def _tile(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.repeat(tuple(shape))


def _tile_by_tensor(x: Tensor, repeats: Tensor) -> Tensor:
    return _tile(x, repeats.tolist())


@operator("Squeeze", "Unsqueeze")
def with_axes(node: NodeProto, graph: Graph) -> Conversion | None:
    """Drop or insert axes of length 1; which, is an attribute or (from operator set 13 on) an input."""
    if not graph.is_constant(node, 1):
        return None
    axes = whole_numbers(graph.constant(node, 1)) or attributes(node).get("axes")
    function = squeeze if node.op_type == "Squeeze" else unsqueeze
    return call(function, node, node.input[:1], {"axes": axes})


def squeeze(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Drop axes of length 1: the given ones, or all."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Insert axes of length 1 at these places of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Flatten")
def flatten(x: Tensor, axis: int = 1) -> Tensor:
    """Two axes: those before this one, and the others."""
    if axis == 1:
        return x.flatten(1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Split")
def split(node: NodeProto, graph: Graph) -> Conversion | None:
    """Split into parts of constant sizes; without them the parts are as equal as they can be."""
    attrs = attributes(node)
    sizes = attrs.get("split") or whole_numbers(graph.constant(node, 1))
    if sizes is None and has_input(node, 1):
        return None
    return call(_split, node, node.input[:1], {"axis": attrs.get("axis", 0), "sizes": sizes})


def _split(x: Tensor, outputs: int, axis: int, sizes: list[int] | None = None) -> tuple[Tensor, ...]:
    if sizes is None:
        length = x.shape[axis]
        even = -(-length // outputs)
        sizes = [even] * (outputs - 1) + [length - even * (outputs - 1)]
    return tuple(torch.split(x, sizes, dim=axis))


@operator("Pad")
def pad(node: NodeProto, graph: Graph) -> Conversion:
    """Pad by amounts that are attributes or (from operator set 11 on) inputs."""
    if not all(graph.is_constant(node, index) for index in (1, 2, 3)):
        return call(_pad, node)
    attrs = attributes(node)
    value = graph.constant(node, 2)
    amounts = {
        "pads": attrs.get("pads") or whole_numbers(graph.constant(node, 1)),
        "value": attrs.get("value", 0.0) if value is None else float(value.reshape(-1)[0]),
        "axes": whole_numbers(graph.constant(node, 3)),
        "mode": attrs.get("mode", "constant"),
    }
    return call(padded, node, node.input[:1], amounts)


def _pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    mode: str = "constant",
) -> Tensor:
    fill = 0.0 if value is None else value.item()
    return padded(x, pads.tolist(), mode, fill, None if axes is None else axes.tolist())


def padded(
    x: Tensor,
    pads: Sequence[int],
    mode: str = "constant",
    value: float = 0.0,
    axes: Sequence[int] | None = None,
) -> Tensor:
    """Pad with a constant, by reflection, with the edge, or round; negative amounts cut off."""
    half = len(pads) // 2
    places = range(half) if axes is None else axes
    amounts = {axis % x.dim(): (pads[i], pads[half + i]) for i, axis in enumerate(places)}
    if mode != "constant":  # torch's other modes leave rows and channels alone
        for axis, (before, after) in amounts.items():
            if before or after:
                x = x.index_select(axis, _drawn_on(x.shape[axis], before, after, mode).to(x.device))
        return x
    flat = [n for axis in range(x.dim() - 1, -1, -1) for n in amounts.get(axis, (0, 0))]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    return F.pad(x, flat, value=value)


def _drawn_on(length: int, before: int, after: int, mode: str) -> Tensor:
    """Positions of an axis that each position of the padded one draws on."""
    positions = torch.arange(-before, length + after)
    if mode == "edge":
        return positions.clamp(0, length - 1)
    if mode == "wrap":
        return positions % length
    turn = max(2 * (length - 1), 1)  # there and back
    return length - 1 - (positions % turn - (length - 1)).abs()
