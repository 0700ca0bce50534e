"""Torch modules for reductions, normalisations and activations that onnx2torch lacks or works out in place.

Each module computes with functions of torch that DeepLIFT has rules for, whatever the number of rows and the
rank of its input; no result depends on the values of the input other than by those functions.
"""

from collections.abc import Callable, Sequence
from functools import reduce

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
