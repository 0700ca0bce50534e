"""Torch modules for reductions, normalisations and the like that onnx2torch lacks or works out in place.

Each module computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the
rank of its input; no result depends on the values of the input other than by those functions.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


# By the numbers of onnx.TensorProto; all floating-point types mean the module's own precision.
_WHOLE = {
    2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 12: torch.uint32, 13: torch.uint64,
}  # fmt: skip
_FLOATS = (1, 10, 11, 16)


def torch_type(number: int, floating: torch.dtype) -> torch.dtype:
    """Return the type with a number of ONNX's; any floating-point one is `floating`.

    Raises
    ------
    NotImplementedError
        For strings, complex numbers and types of few bits.
    """
    if number in _FLOATS:
        return floating
    if number not in _WHOLE:
        raise NotImplementedError(f"tensors of type {onnx.TensorProto.DataType.Name(number)}")
    return _WHOLE[number]


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
