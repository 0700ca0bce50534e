"""Sampling at the places of a grid."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("AffineGrid")
def affine_grid(theta: Tensor, size: Tensor, align_corners: int = 0) -> Tensor:
    """The places that an affine map sends each position of a grid to."""
    axes = []
    for n in size.tolist()[2:]:
        steps = torch.arange(n, dtype=torch.float64, device=theta.device)
        place = steps * 2 / max(n - 1, 1) - 1 if align_corners else (2 * steps + 1) / n - 1
        axes.append(place.to(theta.dtype))
    grid = torch.meshgrid(*axes, indexing="ij")
    places = torch.stack([*reversed(grid), torch.ones_like(grid[0])], -1)  # x before y before z
    moved = places.reshape(1, -1, places.shape[-1]) @ theta.transpose(1, 2)
    return moved.reshape(theta.shape[0], *grid[0].shape, -1)


@operator("GridSample")
def grid_sample(
    x: Tensor,
    grid: Tensor,
    mode: str = "linear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> Tensor:
    """Sample at the places of a grid."""
    kinds = {"linear": "bilinear", "cubic": "bicubic"}
    return F.grid_sample(x, grid, kinds.get(mode, mode), padding_mode, bool(align_corners))
