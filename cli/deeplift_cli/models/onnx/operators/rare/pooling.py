"""Unpooling, and pooling by the length of each window."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.operators.pooling import AveragePool
from deeplift_cli.models.onnx.registry import operator
from deeplift_cli.models.onnx.windows import Window


@operator("MaxUnpool")
def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Tensor | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Put values where max pooling found them, 0 elsewhere."""
    half = len(kernel_shape)
    pads, strides = list(pads or [0] * 2 * half), list(strides or [1] * half)
    each = zip(x.shape[2:], strides, pads[:half], pads[half:], kernel_shape, strict=True)
    sizes = [(n - 1) * stride - before - after + size for n, stride, before, after, size in each]
    shape = [*x.shape[:2], *sizes]
    y = torch.scatter(x.new_zeros(math.prod(shape)), 0, indices.reshape(-1), x.reshape(-1)).reshape(shape)
    if output_shape is None:
        return y
    wanted = [int(n) for n in output_shape.tolist()]
    beyond = [n for a, b in zip(reversed(wanted), reversed(shape), strict=True) for n in (0, a - b)]
    return F.pad(y, beyond)


@operator("LpPool")
def lp_pool(x: Tensor, kernel_shape: Sequence[int], p: int = 2, **attrs: Any) -> Tensor:
    """The p-norm of each window."""
    count = 1
    for n in kernel_shape:
        count *= n
    powers = x.abs() if p == 1 else x.square() if p == 2 else x.abs().pow(p)
    window = Window(kernel_shape=kernel_shape, **attrs)
    total = AveragePool(window, count_include_pad=True)(powers) * count
    return _root(total, p)


@operator("GlobalLpPool")
def global_lp_pool(x: Tensor, p: int = 2) -> Tensor:
    """The p-norm over all spatial axes, which stay with length 1."""
    powers = x.abs() if p == 1 else x.square() if p == 2 else x.abs().pow(p)
    return _root(powers.sum(list(range(2, x.dim())), keepdim=True), p)


def _root(total: Tensor, p: int) -> Tensor:
    if p == 1:
        return total
    return total.sqrt() if p == 2 else total.pow(1 / p)
