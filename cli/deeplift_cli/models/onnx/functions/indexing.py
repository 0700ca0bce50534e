"""Taking and putting by indices, cumulative sums, sorting, triangles, and tensors made of shapes alone."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_cli.models.onnx.calls import call
from deeplift_cli.models.onnx.math_modules import torch_type
from deeplift_cli.models.onnx.shape_modules import Pad


def _from_start(indices: Tensor, size: int) -> Tensor:
    """Count negative indices from the start; a constant stays one."""
    return indices.to(torch.int64) % size


@call("Gather")
def gather(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take slices along an axis: index_select, which has one axis of indices."""
    axis %= x.dim()
    picked = x.index_select(axis, _from_start(indices, x.shape[axis]).reshape(-1))
    return picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


@call("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take single elements along an axis."""
    return torch.gather(x, axis, _from_start(indices, x.shape[axis]))


def _flat_positions(indices: Tensor, sizes: Sequence[int]) -> Tensor:
    """Positions in the flattened axes of these sizes, from indices whose last axis counts those axes."""
    position = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=indices.device)
    for axis, size in enumerate(sizes):
        position = position * size + _from_start(indices[..., axis], size)
    return position


@call("GatherND")
def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    """Take slices by tuples of indices, as one index_select over the axes they count, flattened."""
    depth = batch_dims + indices.shape[-1]
    lead, sizes, rest = x.shape[:batch_dims], x.shape[batch_dims:depth], x.shape[depth:]
    position = _flat_positions(indices, sizes)
    rows = torch.arange(math.prod(lead), device=x.device).reshape(*lead, *[1] * (position.dim() - len(lead)))
    position = position + rows * math.prod(sizes)
    flat = x.reshape(math.prod(x.shape[:depth]), *rest)
    return flat.index_select(0, position.reshape(-1)).reshape(*position.shape, *rest)


_REDUCTIONS = {"mul": "prod", "max": "amax", "min": "amin"}


@call("ScatterElements", "Scatter")
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


@call("ScatterND")
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


@call("TensorScatter")
def tensor_scatter(
    past: Tensor, update: Tensor, start: Tensor | None = None, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """Write an update into each row's cache from its start on (round the end where `mode` is circular)."""
    axis %= past.dim()
    first = torch.zeros(past.shape[0], dtype=torch.int64) if start is None else start
    positions = first[:, None] + torch.arange(update.shape[axis])
    if mode == "circular":
        positions = positions % past.shape[axis]
    places = [1] * past.dim()
    places[0], places[axis] = positions.shape
    return torch.scatter(past, axis, positions.reshape(places).expand(update.shape), update)


@call("OneHot")
def one_hot(indices: Tensor, depth: Tensor, values: Tensor, axis: int = -1) -> Tensor:
    """The second value at each index of a new axis, the first elsewhere."""
    size = int(depth.reshape(-1)[0])
    axis %= indices.dim() + 1
    places = torch.arange(size, device=indices.device).to(indices.dtype)
    places = places.reshape([-1 if place == axis else 1 for place in range(indices.dim() + 1)])
    from_start = torch.where(indices < 0, indices + size, indices)  # beyond either end: no place at all
    chosen = from_start.unsqueeze(axis) == places
    return torch.where(chosen, values[1], values[0])


@call("Trilu")
def triangle(x: Tensor, k: Tensor | None = None, upper: int = 1) -> Tensor:
    """The upper or lower triangle, 0 elsewhere."""
    shift = 0 if k is None else int(k)
    return torch.triu(x, shift) if upper else torch.tril(x, shift)


def _shifted(x: Tensor, axis: int, first: float) -> Tensor:
    """Move along by one, with a constant in front."""
    head = torch.full_like(x.narrow(axis, 0, 1), first)
    return torch.cat([head, x.narrow(axis, 0, x.shape[axis] - 1)], axis)


def _accumulated(
    accumulate: Callable[[Tensor, int], Tensor],
    first: float,
    x: Tensor,
    axis: int,
    exclusive: int,
    reverse: int,
) -> Tensor:
    x = x.flip(axis) if reverse else x
    x = accumulate(_shifted(x, axis, first) if exclusive else x, axis)
    return x.flip(axis) if reverse else x


@call("CumSum")
def cumulative_sum(x: Tensor, axis: Tensor, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Sums along an axis up to each place (without it: exclusive), from either end."""
    return _accumulated(torch.cumsum, 0.0, x, int(axis), exclusive, reverse)


@call("CumProd")
def cumulative_product(x: Tensor, axis: Tensor, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Products along an axis up to each place (without it: exclusive), from either end."""
    return _accumulated(torch.cumprod, 1.0, x, int(axis), exclusive, reverse)


@call("TopK")
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


@call("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """Turn the first so many steps of each row round."""
    steps, lengths = torch.arange(x.shape[time_axis], device=x.device), lengths.to(torch.int64)[:, None]
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    source = source if batch_axis < time_axis else source.T
    shape = [size if axis in (batch_axis, time_axis) else 1 for axis, size in enumerate(x.shape)]
    return torch.gather(x, time_axis, source.reshape(shape).expand(x.shape))


@call("Compress")
def compress(x: Tensor, condition: Tensor, axis: int | None = None) -> Tensor:
    """Take the slices where a constant condition holds."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return x.index_select(axis, condition.nonzero().reshape(-1))


def _extreme(x: Tensor, largest: bool, axis: int, keepdims: int, select_last_index: int) -> Tensor:
    choose = torch.argmax if largest else torch.argmin
    if not select_last_index:
        return choose(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - choose(x.flip(axis), axis, bool(keepdims))


@call("ArgMax")
def arg_max(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the largest along an axis is."""
    return _extreme(x, True, axis, keepdims, select_last_index)


@call("ArgMin")
def arg_min(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the smallest along an axis is."""
    return _extreme(x, False, axis, keepdims, select_last_index)


@call("NonZero")
def nonzero(x: Tensor) -> Tensor:
    """Where x is not 0: one row of indices for each axis."""
    return x.nonzero().T


@call("Flatten")
def flatten(x: Tensor, axis: int = 1) -> Tensor:
    """Two axes: those before this one, and the others."""
    if axis == 1:
        return x.flatten(1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


@call("Pad")
def pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    mode: str = "constant",
) -> Tensor:
    """Pad by amounts that were worked out from the shapes of other tensors."""
    fill = 0.0 if value is None else value.item()
    padded: Tensor = Pad(pads.tolist(), mode, fill, None if axes is None else axes.tolist())(x)
    return padded


@call("EyeLike")
def eye_like(x: Tensor, dtype: Any, k: int = 0) -> Tensor:
    """Ones on a diagonal, with the shape of x."""
    given = torch_type(dtype, x.dtype) if isinstance(dtype, int) else x.dtype
    return torch.ones(x.shape, dtype=given, device=x.device).triu(k).tril(k)


@call("Size")
def size_of(x: Tensor) -> Tensor:
    """The number of elements."""
    return torch.tensor(x.numel())


@call("Range")
def evenly_spaced(start: Tensor, limit: Tensor, delta: Tensor, dtype: torch.dtype, **_: Any) -> Tensor:
    """Numbers from start to before limit."""
    kind = dtype if start.is_floating_point() else start.dtype
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=kind)


@call("DepthToSpace")
def depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of channels into space, block first (DCR) or channel first (CRD)."""
    n, channels, height, width = x.shape
    if mode == "CRD":
        return torch.pixel_shuffle(x, blocksize)
    parts = x.reshape(n, blocksize, blocksize, channels // blocksize**2, height, width)
    moved = parts.permute(0, 3, 4, 1, 5, 2)
    return moved.reshape(n, channels // blocksize**2, height * blocksize, width * blocksize)


@call("SpaceToDepth")
def space_to_depth(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of space into channels, block first (DCR) or channel first (CRD)."""
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    moved = parts.permute(0, 1, 3, 5, 2, 4) if mode == "CRD" else parts.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(n, channels * blocksize**2, height // blocksize, width // blocksize)


@call("Col2Im")
def col2im(
    x: Tensor,
    image: Tensor,
    block: Tensor,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Add blocks up to an image with any number of axes; padding is cut off after."""
    lengths, kernel, half = image.tolist(), block.tolist(), len(block)
    ones = [1] * half
    dilations, strides, pads = dilations or ones, strides or ones, pads or [0] * 2 * half
    sizes = [n + a + b for n, a, b in zip(lengths, pads[:half], pads[half:], strict=True)]
    reach = [dilation * (n - 1) + 1 for dilation, n in zip(dilations, kernel, strict=True)]
    steps = [(n - r) // stride + 1 for n, r, stride in zip(sizes, reach, strides, strict=True)]
    blocks = x.reshape(x.shape[0], -1, math.prod(kernel), *steps)
    whole: Tensor = x.new_zeros(*blocks.shape[:2], *sizes)
    for place, offsets in enumerate(itertools.product(*(range(n) for n in kernel))):
        part = blocks.select(2, place)
        for axis, offset in enumerate(offsets):
            part = _spread(part, axis + 2, offset * dilations[axis], strides[axis], sizes[axis])
        whole = whole + part
    for axis, (first, length) in enumerate(zip(pads[:half], lengths, strict=True), start=2):
        whole = whole.narrow(axis, first, length)
    return whole


def _spread(x: Tensor, axis: int, first: int, stride: int, size: int) -> Tensor:
    """Set the positions of an axis apart, from a first one on, in an axis of zeros."""
    places = torch.arange(x.shape[axis], device=x.device) * stride + first
    zeros = x.new_zeros([*x.shape[:axis], size, *x.shape[axis + 1 :]])
    return zeros.index_copy(axis, places, x)
