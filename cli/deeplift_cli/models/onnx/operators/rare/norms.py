"""Normalisations."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("LpNormalization")
def lp_normalization(x: Tensor, axis: int = -1, p: int = 2) -> Tensor:
    """Divide by the length along an axis; what has none stays 0."""
    length = x.abs().sum(axis, keepdim=True) if p == 1 else x.square().sum(axis, keepdim=True).sqrt()
    return x / torch.where(length == 0, torch.ones_like(length), length)


@operator("MeanVarianceNormalization")
def mean_variance_normalization(x: Tensor, axes: Sequence[int] = (0, 2, 3)) -> Tensor:
    """Subtract the mean and divide by the standard deviation, over some axes."""
    centred = x - x.mean(list(axes), keepdim=True)
    return centred / (centred.square().mean(list(axes), keepdim=True).sqrt() + 1e-9)


@operator("LRN")
def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Divide by a power of the mean square of neighbouring channels."""
    if size % 2:
        return F.local_response_norm(x, size, alpha, beta, bias)
    before, after = (size - 1) // 2, size // 2
    channels = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    squares = F.avg_pool2d(F.pad(channels, (0, 0, before, after)), (size, 1), 1).reshape(x.shape)
    return x / (squares * alpha + bias).pow(beta)
