"""Reductions over axes, and sums along an axis."""

from collections.abc import Callable, Sequence

import torch
from onnx import NodeProto
from torch import Tensor

from deeplift_cli.models.onnx.graph import Graph, attributes, make_node, whole_numbers
from deeplift_cli.models.onnx.registry import Conversion, call, operator


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "L1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "L2": lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(),
    "LogSum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "LogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
    "Max": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "Mean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "Min": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "Prod": _product,
    "Sum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "SumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
}


@operator(*(f"Reduce{kind}" for kind in _REDUCTIONS))
def reduction(node: NodeProto, graph: Graph) -> Conversion | list[NodeProto] | None:
    """Reduce over axes that are an attribute or (in newer operator sets) an input, or over all."""
    if not graph.is_constant(node, 1):
        return None
    attrs = attributes(node)
    axes = whole_numbers(graph.constant(node, 1)) or attrs.get("axes")
    if not axes and attrs.get("noop_with_empty_axes", 0):
        return [make_node(node, "Identity", node.input[:1])]
    kind = node.op_type.removeprefix("Reduce")
    return call(reduced, node, node.input[:1], {"kind": kind, "axes": axes, "keep": attrs.get("keepdims", 1)})


def reduced(x: Tensor, kind: str, keep: int, axes: Sequence[int] | None = None) -> Tensor:
    """One of the reductions over the given axes, or all."""
    return _REDUCTIONS[kind](x, list(range(x.dim())) if axes is None else list(axes), bool(keep))


def _shifted(x: Tensor, axis: int, first: float) -> Tensor:
    """Move along by one, with a constant in front."""
    head = torch.full_like(x.narrow(axis, 0, 1), first)
    return torch.cat([head, x.narrow(axis, 0, x.shape[axis] - 1)], axis)


def accumulated(
    accumulate: Callable[[Tensor, int], Tensor],
    first: float,
    x: Tensor,
    axis: int,
    exclusive: int,
    reverse: int,
) -> Tensor:
    """Accumulate along an axis up to each place (without it: exclusive), from either end."""
    x = x.flip(axis) if reverse else x
    x = accumulate(_shifted(x, axis, first) if exclusive else x, axis)
    return x.flip(axis) if reverse else x


@operator("CumSum")
def cumulative_sum(x: Tensor, axis: Tensor, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Sums along an axis up to each place (without it: exclusive), from either end."""
    return accumulated(torch.cumsum, 0.0, x, int(axis), exclusive, reverse)
