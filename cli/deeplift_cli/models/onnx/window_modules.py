"""Torch modules for pooling and padding, with all of ONNX's ways to say where the windows lie.

Each module computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the
rank of its input; no result depends on the values of the input other than by those functions.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Padding for maxima. Not -inf, whose difference from itself is not a number; within bfloat16's range.
LOWEST = -1e30


class Reshape(nn.Module):
    """Reshape to a constant shape: 0 copies an axis of the input, -1 is worked out."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(self.shape)])


class Window:
    """Where the windows of a convolution or pooling lie, as the attributes of ONNX say it."""

    def __init__(
        self,
        kernel_shape: Sequence[int],
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
    ) -> None:
        ones = [1] * len(kernel_shape)
        self.kernel = list(kernel_shape)
        self.strides, self.dilations = list(strides or ones), list(dilations or ones)
        self.pads = list(pads or [0] * 2 * len(ones)) if auto_pad == "NOTSET" else [0] * 2 * len(ones)
        self.auto_pad, self.ceil_mode = auto_pad, bool(ceil_mode)

    def amounts(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return the padding before and after each spatial axis of an input of these `sizes`."""
        half = len(self.kernel)
        if not self.auto_pad.startswith("SAME"):
            return list(zip(self.pads[:half], self.pads[half:], strict=True))
        return [self._same(axis, size) for axis, size in enumerate(sizes)]

    def _same(self, axis: int, size: int) -> tuple[int, int]:
        stride, reach = self.strides[axis], self.dilations[axis] * (self.kernel[axis] - 1) + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        small = total // 2
        return (total - small, small) if self.auto_pad == "SAME_LOWER" else (small, total - small)


def pad_spatial(x: Tensor, amounts: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Pad the spatial axes of x [N, C, ...] with a constant; x itself where there is nothing to pad."""
    if not any(map(any, amounts)):
        return x
    return F.pad(x, [n for pair in reversed(amounts) for n in pair], value=value)


class SamePad(nn.Module):
    """Pad with zeros so that a convolution gives ceil(length / stride) positions."""

    def __init__(self, kernel_shape: list[int], strides: list[int], dilations: list[int], lower: int) -> None:
        super().__init__()
        auto_pad = "SAME_LOWER" if lower else "SAME_UPPER"
        self.window = Window(kernel_shape, strides, dilations, auto_pad=auto_pad)

    def forward(self, x: Tensor) -> Tensor:
        return pad_spatial(x, self.window.amounts(x.shape[2:]), 0.0)


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
