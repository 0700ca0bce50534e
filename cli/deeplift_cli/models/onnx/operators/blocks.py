"""Blocks of channels."""

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("DepthToSpace")
def depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of channels into space, block first (DCR) or channel first (CRD)."""
    n, channels, height, width = x.shape
    if mode == "CRD":
        return torch.pixel_shuffle(x, blocksize)
    parts = x.reshape(n, blocksize, blocksize, channels // blocksize**2, height, width)
    moved = parts.permute(0, 3, 4, 1, 5, 2)
    return moved.reshape(n, channels // blocksize**2, height * blocksize, width * blocksize)
