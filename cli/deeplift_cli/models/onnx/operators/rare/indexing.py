"""Places of extremes and of ones, and taking and putting by them."""

import torch
from torch import Tensor

from deeplift_cli.models.onnx.operators.reductions import accumulated
from deeplift_cli.models.onnx.registry import operator


@operator("TensorScatter")
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


@operator("OneHot")
def one_hot(indices: Tensor, depth: Tensor, values: Tensor, axis: int = -1) -> Tensor:
    """The second value at each index of a new axis, the first elsewhere."""
    size = int(depth.reshape(-1)[0])
    axis %= indices.dim() + 1
    places = torch.arange(size, device=indices.device).to(indices.dtype)
    places = places.reshape([-1 if place == axis else 1 for place in range(indices.dim() + 1)])
    from_start = torch.where(indices < 0, indices + size, indices)  # beyond either end: no place at all
    chosen = from_start.unsqueeze(axis) == places
    return torch.where(chosen, values[1], values[0])


@operator("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """Turn the first so many steps of each row round."""
    steps, lengths = torch.arange(x.shape[time_axis], device=x.device), lengths.to(torch.int64)[:, None]
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    source = source if batch_axis < time_axis else source.T
    shape = [size if axis in (batch_axis, time_axis) else 1 for axis, size in enumerate(x.shape)]
    return torch.gather(x, time_axis, source.reshape(shape).expand(x.shape))


@operator("Compress")
def compress(x: Tensor, condition: Tensor, axis: int | None = None) -> Tensor:
    """Take the slices where a constant condition holds."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return x.index_select(axis, condition.nonzero().reshape(-1))


@operator("NonZero")
def nonzero(x: Tensor) -> Tensor:
    """Where x is not 0: one row of indices for each axis."""
    return x.nonzero().T


def _extreme(x: Tensor, largest: bool, axis: int, keepdims: int, select_last_index: int) -> Tensor:
    choose = torch.argmax if largest else torch.argmin
    if not select_last_index:
        return choose(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - choose(x.flip(axis), axis, bool(keepdims))


@operator("ArgMax")
def arg_max(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Return the index of the largest value along an axis."""
    return _extreme(x, True, axis, keepdims, select_last_index)


@operator("ArgMin")
def arg_min(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the smallest along an axis is."""
    return _extreme(x, False, axis, keepdims, select_last_index)


@operator("CumProd")
def cumulative_product(x: Tensor, axis: Tensor, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Products along an axis up to each place (without it: exclusive), from either end."""
    return accumulated(torch.cumprod, 1.0, x, int(axis), exclusive, reverse)
