"""Taking and putting by indices, sorting, and triangles."""

import math
from collections.abc import Sequence

import torch
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes, has_input, whole_numbers
from deeplift_cli.models.onnx.registry import Conversion, call, operator


@operator("Slice")
def slices(node: NodeProto, graph: Graph) -> Conversion:
    """Slice by numbers that are attributes, constant inputs, or worked out from the shapes of others."""
    if not all(graph.is_constant(node, index) for index in range(1, 5)):
        return call(_slice_by_tensors, node, attrs={})
    attrs = attributes(node)
    for index, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        value = whole_numbers(graph.constant(node, index)) if has_input(node, index) else None
        attrs = attrs if value is None else {**attrs, name: value}
    return call(sliced, node, node.input[:1], attrs)


def sliced(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    """Slice along some axes, with steps of either sign."""
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = _slice(x, start, end, axis, step)
    return x


def _slice_by_tensors(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    rest = [None if value is None else value.tolist() for value in (axes, steps)]
    return sliced(x, starts.tolist(), ends.tolist(), *rest)


def _slice(x: Tensor, start: int, end: int, axis: int, step: int) -> Tensor:
    length = x.shape[axis]
    if step < 0:  # torch takes positive steps only: turn the axis round
        picked = range(length)[start:end:step]
        if not picked:
            return x.narrow(axis, 0, 0)
        x, start, end, step = x.flip(axis), length - 1 - picked[0], length - picked[-1], -step
    index = [slice(None)] * x.dim()
    index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _from_start(indices: Tensor, size: int) -> Tensor:
    """Count negative indices from the start; a constant stays one."""
    return indices.to(torch.int64) % size


@operator("Gather")
def gather(node: NodeProto, graph: Graph) -> Conversion:
    """Take slices along an axis: by a module that knows the indices where these are constant."""
    index = graph.constant(node, 1)
    if index is None or index.ndim > 1 or node.input[0] in graph.constants:
        return call(_gather, node)
    axis, indices = attributes(node).get("axis", 0), whole_numbers(index) or []
    return Conversion(Gather(indices, axis, scalar=index.ndim == 0), (node.input[0],))


class Gather(nn.Module):
    """Take one index (its axis goes) or several along an axis."""

    def __init__(self, indices: Sequence[int], axis: int = 0, scalar: bool = False) -> None:
        super().__init__()
        self.axis, self.scalar = axis, scalar
        self.register_buffer("indices", torch.tensor(list(indices), dtype=torch.int64), persistent=False)
        self.indices: Tensor
        self.first = int(indices[0]) if scalar else 0
        self.from_end = any(index < 0 for index in indices)

    def forward(self, x: Tensor) -> Tensor:
        if self.scalar:
            return x.select(self.axis, self.first)
        indices = self.indices % x.shape[self.axis] if self.from_end else self.indices
        return x.index_select(self.axis, indices)


def _gather(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take slices along an axis: index_select, which has one axis of indices."""
    axis %= x.dim()
    picked = x.index_select(axis, _from_start(indices, x.shape[axis]).reshape(-1))
    return picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


@operator("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take single elements along an axis."""
    return torch.gather(x, axis, _from_start(indices, x.shape[axis]))


def _flat_positions(indices: Tensor, sizes: Sequence[int]) -> Tensor:
    """Positions in the flattened axes of these sizes, from indices whose last axis counts those axes."""
    position = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=indices.device)
    for axis, size in enumerate(sizes):
        position = position * size + _from_start(indices[..., axis], size)
    return position


_REDUCTIONS = {"mul": "prod", "max": "amax", "min": "amin"}


@operator("GatherND")
def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    """Take slices by tuples of indices, as one index_select over the axes they count, flattened."""
    depth = batch_dims + indices.shape[-1]
    lead, sizes, rest = x.shape[:batch_dims], x.shape[batch_dims:depth], x.shape[depth:]
    position = _flat_positions(indices, sizes)
    rows = torch.arange(math.prod(lead), device=x.device).reshape(*lead, *[1] * (position.dim() - len(lead)))
    position = position + rows * math.prod(sizes)
    flat = x.reshape(math.prod(x.shape[:depth]), *rest)
    return flat.index_select(0, position.reshape(-1)).reshape(*position.shape, *rest)


@operator("ScatterElements", "Scatter")
def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """Put single elements along an axis."""
    indices = _from_start(indices, x.shape[axis])
    if reduction == "none":
        return torch.scatter(x, axis, indices, updates)
    if reduction == "add":
        return torch.scatter_add(x, axis, indices, updates)
    return torch.scatter_reduce(x, axis, indices, updates, _REDUCTIONS[reduction])


@operator("ScatterND")
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, reduction: str = "none") -> Tensor:
    """Put slices by tuples of indices, into the axes they count, flattened."""
    depth = indices.shape[-1]
    position = _flat_positions(indices, x.shape[:depth]).reshape(-1)
    flat = x.reshape(math.prod(x.shape[:depth]), *x.shape[depth:])
    slices = updates.to(x.dtype).reshape(position.numel(), *x.shape[depth:])
    if reduction == "none":
        return torch.index_copy(flat, 0, position, slices).reshape(x.shape)
    if reduction == "add":
        return torch.index_add(flat, 0, position, slices).reshape(x.shape)
    index = position.reshape(-1, *[1] * (slices.dim() - 1)).expand(slices.shape)
    return torch.scatter_reduce(flat, 0, index, slices, _REDUCTIONS[reduction]).reshape(x.shape)


@operator("Trilu")
def triangle(x: Tensor, k: Tensor | None = None, upper: int = 1) -> Tensor:
    """The upper or lower triangle, 0 elsewhere."""
    shift = 0 if k is None else int(k)
    return torch.triu(x, shift) if upper else torch.tril(x, shift)


@operator("TopK")
def top_k(
    x: Tensor,
    k: Tensor | int | None = None,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: A002, ARG001
) -> tuple[Tensor, Tensor]:
    """The k largest or smallest along an axis, and where they are."""
    values, indices = torch.sort(x, dim=axis, descending=bool(largest), stable=True)  # first of equals first
    return values.narrow(axis, 0, int(k)), indices.narrow(axis, 0, int(k))  # type: ignore[arg-type]
