"""Activations, trigonometry, logic and bits."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.calls import call

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "Acosh": torch.acosh,
    "Asinh": torch.asinh,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Cosh": torch.cosh,
    "Erfc": lambda x: 1 - torch.erf(x),  # no ONNX op, but tf2onnx leaves it in Keras models with GELU
    "HardSwish": F.hardswish,
    "IsNaN": torch.isnan,
    "Mish": F.mish,
    "Sinh": torch.sinh,
    "Softsign": F.softsign,
}
for _op_type, _function in _PLAIN.items():
    call(_op_type)(_function)

_OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "GreaterOrEqual": torch.ge,
    "LessOrEqual": torch.le,
    "Xor": torch.logical_xor,
}
for _op_type, _of_two in _OF_TWO.items():
    call(_op_type)(_of_two)


@call("Gelu")
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit, exact or by tanh."""
    return F.gelu(x, approximate=approximate)


@call("Swish")
def swish(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x sigmoid(alpha x)."""
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@call("SwiGLU")
def swiglu(x: Tensor, gate: Tensor | None = None, axis: int = -1, alpha: float = 1.0) -> Tensor:
    """One half, gated by the swish of the other."""
    if gate is None:
        x, gate = x.chunk(2, axis)
    gated: Tensor = swish(x, alpha) * gate
    return gated


@call("Celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable ELU."""
    return F.celu(x, alpha)


@call("Selu")
def selu(x: Tensor, alpha: float = 1.6732632, gamma: float = 1.0507010) -> Tensor:
    """Scaled ELU; with the usual numbers torch's own."""
    if abs(alpha - 1.6732632) < 1e-5 and abs(gamma - 1.0507010) < 1e-5:
        return F.selu(x)
    return gamma * F.elu(x, alpha)


@call("ThresholdedRelu")
def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is larger than alpha, else 0."""
    return F.threshold(x, alpha, 0.0)


@call("HardSigmoid")
def hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """alpha x + beta, kept within 0 and 1."""
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return (alpha * x + beta).clamp(0.0, 1.0)


@call("Softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return F.softplus(x)


@call("Shrink")
def shrink(x: Tensor, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """0 between -lambd and lambd; outside, x moved towards 0 by the bias."""
    if bias == 0.0:
        return F.hardshrink(x, lambd)
    if bias == lambd:
        return F.softshrink(x, lambd)
    return F.hardshrink(x, lambd) - bias * (x > lambd) + bias * (x < -lambd)


@call("Clip")
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Keep within bounds that are tensors, constant or not; the upper one wins."""
    if low is not None and high is not None:
        return torch.clamp(x, low, high)
    return x if low is high else torch.clamp(x, min=low, max=high)


@call("Mod")
def modulo(x: Tensor, y: Tensor, fmod: int = 0) -> Tensor:
    """Remainder with the sign of the divisor, or (`fmod`) of the dividend."""
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


@call("BitShift")
def bit_shift(x: Tensor, amount: Tensor, direction: str) -> Tensor:
    """Shift the bits of whole numbers."""
    shift = torch.bitwise_left_shift if direction == "LEFT" else torch.bitwise_right_shift
    return shift(x, amount)


@call("IsInf")
def is_infinite(x: Tensor, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Where x is infinite, of the signs that count."""
    signs = ((detect_negative, torch.isneginf), (detect_positive, torch.isposinf))
    found = [function(x) for wanted, function in signs if wanted]
    return reduce(torch.logical_or, found) if found else torch.zeros_like(x, dtype=torch.bool)


@call("Mean")
def mean(*tensors: Tensor) -> Tensor:
    """The mean of several tensors."""
    return tensors[0] if len(tensors) == 1 else reduce(torch.add, tensors) / len(tensors)


@call("Dropout")
def dropout(x: Tensor, *_: Tensor | None, **__: Any) -> tuple[Tensor, Tensor]:
    """Nothing, at inference, with a mask that keeps all: where the mask is used."""
    return x, torch.ones_like(x, dtype=torch.bool)


@call("CastLike")
def cast_like(x: Tensor, like: Tensor, dtype: torch.dtype, saturate: int = 1, round_mode: str = "") -> Tensor:  # noqa: ARG001
    """Change the type to that of another tensor."""
    return x.to(dtype if like.is_floating_point() else like.dtype)


def _log_or_not(x: Tensor, axis: int, log: bool) -> Tensor:
    return F.log_softmax(x, axis) if log else F.softmax(x, axis)


def _softmax(x: Tensor, axis: int | None, opset: int, log: bool) -> Tensor:
    if opset >= 13:
        return _log_or_not(x, -1 if axis is None else axis, log)
    first = (1 if axis is None else axis) % max(x.dim(), 1)  # over all axes from this one on, as one
    if all(size == 1 for size in x.shape[first + 1 :]):
        return _log_or_not(x, first, log)
    return _log_or_not(x.flatten(first), -1, log).reshape(x.shape)


@call("Softmax")
def softmax(x: Tensor, opset: int, axis: int | None = None) -> Tensor:
    """Softmax along an axis; before operator set 13, over all axes from it on."""
    return _softmax(x, axis, opset, log=False)


@call("LogSoftmax")
def log_softmax(x: Tensor, opset: int, axis: int | None = None) -> Tensor:
    """The logarithm of `softmax`."""
    return _softmax(x, axis, opset, log=True)


@call("Hardmax")
def hardmax(x: Tensor, opset: int, axis: int | None = None) -> Tensor:
    """1 at the first of the largest, 0 elsewhere."""
    shape = x.shape
    if opset < 13:
        x, axis = x.flatten(1 if axis is None else axis % x.dim()), -1
    axis = (-1 if axis is None else axis) % x.dim()
    places = torch.arange(x.shape[axis], device=x.device)
    places = places.reshape([-1 if place == axis else 1 for place in range(x.dim())])
    return (x.argmax(axis, keepdim=True) == places).to(x.dtype).reshape(shape)
