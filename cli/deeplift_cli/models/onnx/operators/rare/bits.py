"""Logic, bits, and what is no number."""

from functools import reduce

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("BitwiseNot")
def bitwise_not(x: Tensor) -> Tensor:
    """Each bit turned round."""
    return torch.bitwise_not(x)


@operator("BitwiseAnd")
def bitwise_and(x: Tensor, y: Tensor) -> Tensor:
    """The bits of both."""
    return torch.bitwise_and(x, y)


@operator("BitwiseOr")
def bitwise_or(x: Tensor, y: Tensor) -> Tensor:
    """The bits of either."""
    return torch.bitwise_or(x, y)


@operator("BitwiseXor")
def bitwise_xor(x: Tensor, y: Tensor) -> Tensor:
    """The bits of one of two."""
    return torch.bitwise_xor(x, y)


@operator("Xor")
def exclusive_or(x: Tensor, y: Tensor) -> Tensor:
    """Return whether one of two holds."""
    return torch.logical_xor(x, y)


@operator("BitShift")
def bit_shift(x: Tensor, amount: Tensor, direction: str) -> Tensor:
    """Shift the bits of whole numbers."""
    shift = torch.bitwise_left_shift if direction == "LEFT" else torch.bitwise_right_shift
    return shift(x, amount)


@operator("IsInf")
def is_infinite(x: Tensor, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Where x is infinite, of the signs that count."""
    signs = ((detect_negative, torch.isneginf), (detect_positive, torch.isposinf))
    found = [function(x) for wanted, function in signs if wanted]
    return reduce(torch.logical_or, found) if found else torch.zeros_like(x, dtype=torch.bool)
