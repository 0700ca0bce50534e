"""Torch modules for the ops that onnx2torch lacks, or converts into in-place or data-dependent code.

Each computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the rank of
its input; no result depends on the values of the input other than by those functions.
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


def _broadcast(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape)))  # type: ignore[no-untyped-call]


class Expand(nn.Module):
    """Broadcast with a constant shape (in both directions, as ONNX does)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return _broadcast(x, self.shape)


class DynamicReshape(nn.Module):
    """Reshape to a shape that was worked out from the shapes of other tensors."""

    def forward(self, x: Tensor, shape: Tensor) -> Tensor:
        return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(shape.tolist())])


class DynamicExpand(nn.Module):
    """Broadcast with a shape that was worked out from the shapes of other tensors."""

    def forward(self, x: Tensor, shape: Tensor) -> Tensor:
        return _broadcast(x, shape.tolist())


class Tile(nn.Module):
    """Repeat each axis."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.repeats = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(self.repeats)


class Squeeze(nn.Module):
    """Drop axes of length 1: the given ones, or all."""

    def __init__(self, axes: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axes = None if axes is None else tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze() if self.axes is None else x.squeeze(self.axes)


class Unsqueeze(nn.Module):
    """Insert axes of length 1 at these places of the result."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        rank = x.dim() + len(self.axes)
        for axis in sorted(axis % rank for axis in self.axes):
            x = x.unsqueeze(axis)
        return x


class Slice(nn.Module):
    """Slice along some axes, with steps of either sign."""

    def __init__(
        self,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        axes = range(len(starts)) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        self.slices = list(zip(starts, ends, axes, steps, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        for start, end, axis, step in self.slices:
            x = _slice(x, start, end, axis, step)
        return x


class DynamicSlice(nn.Module):
    """Slice by tensors that were worked out from the shapes of others."""

    def forward(
        self,
        x: Tensor,
        starts: Tensor,
        ends: Tensor,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        rest = [None if value is None else value.tolist() for value in (axes, steps)]
        sliced: Tensor = Slice(starts.tolist(), ends.tolist(), *rest)(x)
        return sliced


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


class Gather(nn.Module):
    """Take one index (its axis goes) or several along an axis."""

    def __init__(self, indices: Sequence[int], axis: int = 0, scalar: int = 0) -> None:
        super().__init__()
        self.axis, self.scalar = axis, bool(scalar)
        self.register_buffer("indices", torch.tensor(list(indices), dtype=torch.int64), persistent=False)
        self.indices: Tensor
        self.first = int(indices[0]) if scalar else 0
        self.from_end = any(index < 0 for index in indices)

    def forward(self, x: Tensor) -> Tensor:
        if self.scalar:
            return x.select(self.axis, self.first)
        indices = self.indices % x.shape[self.axis] if self.from_end else self.indices
        return x.index_select(self.axis, indices)


class Split(nn.Module):
    """Split into parts of given sizes, or into `parts` of one size (the last may be smaller)."""

    def __init__(self, parts: int, axis: int = 0, sizes: Sequence[int] | None = None) -> None:
        super().__init__()
        self.axis, self.parts, self.sizes = axis, parts, None if sizes is None else list(sizes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        sizes = self.sizes
        if sizes is None:
            length = x.shape[self.axis]
            even = -(-length // self.parts)
            sizes = [even] * (self.parts - 1) + [length - even * (self.parts - 1)]
        pieces = torch.split(x, sizes, dim=self.axis)
        # onnx2torch takes an element of what a node returns only where the node has several outputs
        return pieces if self.parts > 1 else pieces[0]


class Pad(nn.Module):
    """Pad with a constant, by reflection, with the edge, or round."""

    MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}  # noqa: RUF012

    def __init__(
        self,
        pads: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.mode, self.value = self.MODES[mode], value
        half = len(pads) // 2
        axes = range(half) if axes is None else axes
        self.amounts = {axis: (pads[i], pads[half + i]) for i, axis in enumerate(axes)}

    def forward(self, x: Tensor) -> Tensor:
        amounts = {axis % x.dim(): amount for axis, amount in self.amounts.items()}
        first = 0 if self.mode == "constant" else 2  # torch's other modes leave rows and channels alone
        pads = [n for axis in range(x.dim() - 1, first - 1, -1) for n in amounts.get(axis, (0, 0))]
        while len(pads) > 2 and pads[-2:] == [0, 0] and self.mode == "constant":
            pads = pads[:-2]
        return F.pad(x, pads, mode=self.mode, value=self.value if self.mode == "constant" else None)


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
        pool, ceil = _AVERAGE_POOLS[len(amounts) - 1], window.ceil_mode
        if all(a == b and 2 * a <= k for (a, b), k in zip(amounts, window.kernel, strict=True)):
            padding = [a for a, _ in amounts]
            return pool(x, window.kernel, window.strides, padding, ceil, self.count_include_pad)
        pooled = pool(pad_spatial(x, amounts, 0.0), window.kernel, window.strides, 0, ceil)
        if self.count_include_pad:
            return pooled
        inside = pad_spatial(torch.ones_like(x[:1, :1]), amounts, 0.0)  # its share of each window
        return pooled * pool(inside, window.kernel, window.strides, 0, ceil).reciprocal()


class GlobalPool(nn.Module):
    """The mean or maximum over all spatial axes, which stay with length 1."""

    def __init__(self, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum

    def forward(self, x: Tensor) -> Tensor:
        axes = list(range(2, x.dim()))
        return x.amax(axes, keepdim=True) if self.maximum else x.mean(axes, keepdim=True)


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


class Reduce(nn.Module):
    """A reduction over the given axes, or all."""

    def __init__(self, kind: str, axes: Sequence[int] | None = None, keepdims: int = 1) -> None:
        super().__init__()
        self.function = _REDUCTIONS[kind]
        self.axes, self.keep = None if axes is None else list(axes), bool(keepdims)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, list(range(x.dim())) if self.axes is None else self.axes, self.keep)


class Clip(nn.Module):
    """Keep values within bounds; a lower bound of 0 alone is a ReLU."""

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        if self.low is None and self.high is None:
            return x
        if self.low == 0.0 and self.high is None:
            return F.relu(x)
        return x.clamp(self.low, self.high)


class Pairwise(nn.Module):
    """A function of two tensors applied to any number of them."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return reduce(self.function, tensors)


class Cast(nn.Module):
    """Change the type; floating-point types all mean the precision that the module computes in."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("like", torch.empty(0), persistent=False)  # `module.double()` changes its type
        self.like: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.like.dtype if self.dtype.is_floating_point else self.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation at inference, for any number of axes."""

    def __init__(self, epsilon: float, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = nn.Parameter(scale), nn.Parameter(bias), epsilon
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.running_mean: Tensor
        self.running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.epsilon
        )


class LayerNorm(nn.Module):
    """Layer normalisation over as many last axes as the scale has."""

    def __init__(self, scale: Tensor, bias: Tensor | None, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(scale), epsilon
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


class GroupNorm(nn.Module):
    """Group normalisation with a scale and bias for each channel."""

    def __init__(self, groups: int, scale: Tensor, bias: Tensor, epsilon: float) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, epsilon
        self.weight, self.bias = nn.Parameter(scale), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.weight, self.bias, self.epsilon)


class Prelu(nn.Module):
    """Leaky ReLU with slopes that broadcast against the input: one, or one for each channel or value."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, x: Tensor) -> Tensor:
        slope = self.slope.reshape((1,) * (x.dim() - self.slope.dim()) + tuple(self.slope.shape))
        if x.dim() > 1 and slope.shape[1] == slope.numel():
            return F.prelu(x, slope.reshape(-1))
        return F.relu(x) - slope * F.relu(-x)


def activation(kind: str, **attrs: float | str) -> Callable[[Tensor], Tensor]:
    """Return the function of an activation op with its attributes."""
    if kind == "Gelu":
        approximate = str(attrs.get("approximate", "none"))
        return lambda x: F.gelu(x, approximate=approximate)
    if kind == "Swish":
        alpha = float(attrs.get("alpha", 1.0))
        return F.silu if alpha == 1.0 else lambda x: x * torch.sigmoid(alpha * x)
    if kind == "ThresholdedRelu":
        threshold = float(attrs.get("alpha", 1.0))
        return lambda x: F.threshold(x, threshold, 0.0)
    if kind == "Selu":
        return _selu(float(attrs.get("alpha", 1.6732632)), float(attrs.get("gamma", 1.0507010)))
    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "Mish": F.mish,
        "Sinh": torch.sinh,
        "Cosh": torch.cosh,
        "Asinh": torch.asinh,
        "Acosh": torch.acosh,
        "Atanh": torch.atanh,
        "Erfc": lambda x: 1 - torch.erf(x),
    }
    return plain[kind]


def _selu(alpha: float, gamma: float) -> Callable[[Tensor], Tensor]:
    if abs(alpha - 1.6732632) < 1e-5 and abs(gamma - 1.0507010) < 1e-5:
        return F.selu
    return lambda x: gamma * F.elu(x, alpha)


class Activation(nn.Module):
    """An elementwise function."""

    def __init__(self, kind: str, **attrs: float | str) -> None:
        super().__init__()
        self.kind, self.function = kind, activation(kind, **attrs)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.kind
