"""Hyperbolic functions and their inverses."""

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("Sinh")
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine."""
    return torch.sinh(x)


@operator("Cosh")
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine."""
    return torch.cosh(x)


@operator("Asinh")
def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine."""
    return torch.asinh(x)


@operator("Acosh")
def acosh(x: Tensor) -> Tensor:
    """Inverse hyperbolic cosine."""
    return torch.acosh(x)


@operator("Atanh")
def atanh(x: Tensor) -> Tensor:
    """Inverse hyperbolic tangent."""
    return torch.atanh(x)
