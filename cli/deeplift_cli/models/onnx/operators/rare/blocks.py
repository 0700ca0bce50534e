"""Blocks of images."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of space into channels, block first (DCR) or channel first (CRD)."""
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    moved = parts.permute(0, 1, 3, 5, 2, 4) if mode == "CRD" else parts.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(n, channels * blocksize**2, height // blocksize, width // blocksize)


@operator("Col2Im")
def col2im(
    x: Tensor,
    image: Tensor,
    block: Tensor,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Add blocks up to an image with any number of axes; padding is cut off after."""
    lengths, kernel, half = image.tolist(), block.tolist(), len(block)
    ones = [1] * half
    dilations, strides, pads = dilations or ones, strides or ones, pads or [0] * 2 * half
    sizes = [n + a + b for n, a, b in zip(lengths, pads[:half], pads[half:], strict=True)]
    reach = [dilation * (n - 1) + 1 for dilation, n in zip(dilations, kernel, strict=True)]
    steps = [(n - r) // stride + 1 for n, r, stride in zip(sizes, reach, strides, strict=True)]
    blocks = x.reshape(x.shape[0], -1, math.prod(kernel), *steps)
    whole: Tensor = x.new_zeros(*blocks.shape[:2], *sizes)
    for place, offsets in enumerate(itertools.product(*(range(n) for n in kernel))):
        part = blocks.select(2, place)
        for axis, offset in enumerate(offsets):
            part = _spread(part, axis + 2, offset * dilations[axis], strides[axis], sizes[axis])
        whole = whole + part
    for axis, (first, length) in enumerate(zip(pads[:half], lengths, strict=True), start=2):
        whole = whole.narrow(axis, first, length)
    return whole


def _spread(x: Tensor, axis: int, first: int, stride: int, size: int) -> Tensor:
    """Set the positions of an axis apart, from a first one on, in an axis of zeros."""
    places = torch.arange(x.shape[axis], device=x.device) * stride + first
    zeros = x.new_zeros([*x.shape[:axis], size, *x.shape[axis + 1 :]])
    return zeros.index_copy(axis, places, x)
