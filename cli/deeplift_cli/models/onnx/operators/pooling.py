"""Pooling.

Each module computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the
rank of its input; no result depends on the values of the input other than by those functions.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion, call, operator
from deeplift_cli.models.onnx.windows import LOWEST, Window, pad_spatial


@operator("MaxPool")
def max_pool(node: NodeProto, graph: Graph) -> Conversion:  # noqa: ARG001
    """A module, or a function where the places of the maxima are asked for, too."""
    if len(node.output) > 1:
        return call(max_pool_with_places, node)
    return Conversion(MaxPool(_window(node)), tuple(node.input))


@operator("AveragePool")
def average_pool(node: NodeProto, graph: Graph) -> Conversion:  # noqa: ARG001
    """A module with the windows that the attributes say."""
    counted = bool(attributes(node).get("count_include_pad", 0))
    return Conversion(AveragePool(_window(node), counted), tuple(node.input))


def _window(node: NodeProto) -> Window:
    names = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode")
    return Window(**{name: value for name, value in attributes(node).items() if name in names})


@operator("GlobalAveragePool")
def global_average(x: Tensor) -> Tensor:
    """The mean over all spatial axes, which stay with length 1."""
    return x.mean(list(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def global_maximum(x: Tensor) -> Tensor:
    """The maximum over all spatial axes, which stay with length 1."""
    return x.amax(list(range(2, x.dim())), keepdim=True)


_MAX_POOLS: list[Callable[..., Tensor]] = [F.max_pool1d, F.max_pool2d, F.max_pool3d]
_AVERAGE_POOLS: list[Callable[..., Tensor]] = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d]


class MaxPool(nn.Module):
    """Max pooling; padding that torch cannot express is put in front with a very low value."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        window = self.window
        amounts = window.amounts(x.shape[2:])
        torch_can = all(a == b and 2 * a <= k for (a, b), k in zip(amounts, window.kernel, strict=True))
        padding = [a for a, _ in amounts] if torch_can else [0] * len(amounts)
        x = x if torch_can else pad_spatial(x, amounts, LOWEST)
        pool = _MAX_POOLS[len(amounts) - 1]
        return pool(x, window.kernel, window.strides, padding, window.dilations, window.ceil_mode)


class AveragePool(nn.Module):
    """Average pooling, with or without the padding counted in."""

    def __init__(self, window: Window, count_include_pad: bool) -> None:
        super().__init__()
        self.window, self.count_include_pad = window, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        window = self.window
        amounts = window.amounts(x.shape[2:])
        if any(n != 1 for n in window.dilations):
            return _dilated_average(x, window, float(self.count_include_pad))
        pool, ceil = _AVERAGE_POOLS[len(amounts) - 1], window.ceil_mode
        if all(a == b and 2 * a <= k for (a, b), k in zip(amounts, window.kernel, strict=True)):
            padding = [a for a, _ in amounts]
            return pool(x, window.kernel, window.strides, padding, ceil, self.count_include_pad)
        pooled = pool(pad_spatial(x, amounts, 0.0), window.kernel, window.strides, 0, ceil)
        if self.count_include_pad:
            return pooled
        inside = pad_spatial(torch.ones_like(x[:1, :1]), amounts, 0.0)  # its share of each window
        return pooled * pool(inside, window.kernel, window.strides, 0, ceil).reciprocal()


def _dilated_average(x: Tensor, window: Window, padding_counts: float) -> Tensor:
    """Average pooling with gaps, which torch lacks: sums along one axis after the other."""
    amounts = window.amounts(x.shape[2:])
    counted = pad_spatial(torch.ones_like(x[:1, :1]), amounts, padding_counts)
    ends = [after for _, after in amounts]
    sums, counts = (_dilated_sums(y, window, ends) for y in (pad_spatial(x, amounts, 0.0), counted))
    return sums * counts.reciprocal()


def _dilated_sums(x: Tensor, window: Window, padding_after: Sequence[int]) -> Tensor:
    each = zip(window.kernel, window.strides, window.dilations, padding_after, strict=True)
    for axis, (size, stride, dilation, after) in enumerate(each, start=2):
        length, reach = x.shape[axis], dilation * (size - 1) + 1
        last = (length - reach) // stride * stride
        if window.ceil_mode and last < length - reach and last + stride < length - after:
            last += stride  # a window that ends beyond the end
        beyond = max(0, last + reach - length)
        x = F.pad(x, [0, 0] * (x.dim() - 1 - axis) + [0, beyond])
        parts = [
            x.narrow(axis, place * dilation, last + 1)[(slice(None),) * axis + (slice(None, None, stride),)]
            for place in range(size)
        ]
        x = reduce(torch.add, parts)
    return x


_MAX_POOLS_WITH_PLACES: list[Callable[..., tuple[Tensor, Tensor]]] = [
    F.max_pool1d,
    F.max_pool2d,
    F.max_pool3d,
]


def max_pool_with_places(x: Tensor, storage_order: int = 0, **attrs: Any) -> tuple[Tensor, Tensor]:
    """Max pooling that also tells where in the whole of x each maximum is."""
    window = Window(**attrs)
    amounts, sizes = window.amounts(x.shape[2:]), x.shape[2:]
    padded = pad_spatial(x, amounts, LOWEST)
    pool = _MAX_POOLS_WITH_PLACES[len(sizes) - 1]
    values, flat = pool(
        padded, window.kernel, window.strides, 0, window.dilations, window.ceil_mode, return_indices=True
    )
    places: list[Tensor] = []
    for (before, _), size in zip(reversed(amounts), reversed(padded.shape[2:]), strict=True):
        places.insert(0, flat % size - before)
        flat = flat // size
    pairs = list(zip(places, sizes, strict=True))
    position = torch.zeros_like(flat)
    for place, size in reversed(pairs) if storage_order else pairs:
        position = position * size + place
    first = torch.arange(math.prod(x.shape[:2]), device=x.device) * math.prod(sizes)
    return values, position + first.reshape(*x.shape[:2], *[1] * len(sizes))
