"""Activations."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("Softsign")
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return F.softsign(x)


@operator("Erfc")
def complementary_error(x: Tensor) -> Tensor:
    """1 - erf(x): no operator of ONNX's, but tf2onnx leaves it in Keras models with GELU."""
    return 1 - torch.erf(x)


@operator("Swish")
def swish(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x sigmoid(alpha x)."""
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@operator("SwiGLU")
def swiglu(x: Tensor, gate: Tensor | None = None, axis: int = -1, alpha: float = 1.0) -> Tensor:
    """One half, gated by the swish of the other."""
    if gate is None:
        x, gate = x.chunk(2, axis)
    gated: Tensor = swish(x, alpha) * gate
    return gated


@operator("ThresholdedRelu")
def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is larger than alpha, else 0."""
    return F.threshold(x, alpha, 0.0)


@operator("Shrink")
def shrink(x: Tensor, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """0 between -lambd and lambd; outside, x moved towards 0 by the bias."""
    if bias == 0.0:
        return F.hardshrink(x, lambd)
    if bias == lambd:
        return F.softshrink(x, lambd)
    return F.hardshrink(x, lambd) - bias * (x > lambd) + bias * (x < -lambd)


@operator("Hardmax", since=13)
def hardmax(x: Tensor, axis: int = -1) -> Tensor:
    """1 at the first of the largest along an axis, 0 elsewhere."""
    axis %= x.dim()
    places = torch.arange(x.shape[axis], device=x.device)
    places = places.reshape([-1 if place == axis else 1 for place in range(x.dim())])
    return (x.argmax(axis, keepdim=True) == places).to(x.dtype)


@operator("Hardmax")
def hardmax_of_the_rest(x: Tensor, axis: int = 1) -> Tensor:
    """1 at the first of the largest over all axes from this one on, 0 elsewhere."""
    return hardmax(x.flatten(axis % x.dim())).reshape(x.shape)
