"""Convolutions and pooling in the forms that the rewrites leave."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.calls import call
from deeplift_cli.models.onnx.window_modules import LOWEST, AveragePool, Window, pad_spatial

_CONVS: list[Callable[..., Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
_TRANSPOSED: list[Callable[..., Tensor]] = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]


@call("Conv")
def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, group: int = 1, **attrs: Any) -> Tensor:
    """A convolution whose kernel is worked out in the graph."""
    attrs["kernel_shape"] = list(weight.shape[2:])
    window = Window(**attrs)
    x = pad_spatial(x, window.amounts(x.shape[2:]), 0.0)
    return _CONVS[weight.dim() - 3](x, weight, bias, window.strides, 0, window.dilations, group)


@call("CausalConvWithState")
def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past: Tensor | None = None,
    activation: str = "none",
) -> tuple[Tensor, Tensor]:
    """Each channel's convolution with what came before, and the last positions for the next piece."""
    reach = weight.shape[-1] - 1
    whole = F.pad(x, [reach, 0]) if past is None else torch.cat([past, x], -1)
    y = F.conv1d(whole, weight, bias, groups=x.shape[1])
    y = F.silu(y) if activation in ("silu", "swish") else y
    return y, whole.narrow(-1, whole.shape[-1] - reach, reach)


def _cut(
    auto_pad: str, output: Sequence[int] | None, full: Sequence[int], pads: Sequence[int], size: Sequence[int]
) -> list[tuple[int, int]]:
    """How much each spatial axis of the full result loses before and after; negative: gains."""
    half = len(full)
    if output is None and not auto_pad.startswith("SAME"):
        return [(0, 0)] * half if auto_pad == "VALID" else list(zip(pads[:half], pads[half:], strict=True))
    wanted = size if output is None else list(output)[-half:]
    totals = [length - n for length, n in zip(full, wanted, strict=True)]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    pairs = zip(small, large, strict=True) if auto_pad == "SAME_UPPER" else zip(large, small, strict=True)
    return list(pairs)


@call("ConvTranspose")
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """A transposed convolution: torch's where its padding is even, else the full one, cut."""
    half = weight.dim() - 2
    ones, zeros = [1] * half, [0] * half
    dilations, strides = list(dilations or ones), list(strides or ones)
    output_padding = list(output_padding or zeros)
    sizes, kernel = x.shape[2:], weight.shape[2:]
    reach = [dilation * (n - 1) + 1 for dilation, n in zip(dilations, kernel, strict=True)]
    full = [
        stride * (n - 1) + length + extra
        for stride, n, length, extra in zip(strides, sizes, reach, output_padding, strict=True)
    ]
    grown = [n * stride for n, stride in zip(sizes, strides, strict=True)]
    cuts = _cut(auto_pad, output_shape, full, list(pads or [0] * 2 * half), grown)
    function = _TRANSPOSED[half - 1]
    if all(before == after >= 0 for before, after in cuts):
        even = [before for before, _ in cuts]
        return function(x, weight, bias, strides, even, output_padding, group, dilations)
    y = function(x, weight, None, strides, 0, output_padding, group, dilations)
    y = F.pad(y, [-n for pair in reversed(cuts) for n in pair])  # negative padding cuts
    return y if bias is None else y + bias.reshape(-1, *ones)


_MAX_POOLS: list[Callable[..., tuple[Tensor, Tensor]]] = [F.max_pool1d, F.max_pool2d, F.max_pool3d]


@call("MaxPool")
def max_pool_with_places(x: Tensor, storage_order: int = 0, **attrs: Any) -> tuple[Tensor, Tensor]:
    """Max pooling that also tells where in the whole of x each maximum is."""
    window = Window(**attrs)
    amounts, sizes = window.amounts(x.shape[2:]), x.shape[2:]
    padded = pad_spatial(x, amounts, LOWEST)
    pool = _MAX_POOLS[len(sizes) - 1]
    values, flat = pool(
        padded, window.kernel, window.strides, 0, window.dilations, window.ceil_mode, return_indices=True
    )
    places: list[Tensor] = []
    for (before, _), size in zip(reversed(amounts), reversed(padded.shape[2:]), strict=True):
        places.insert(0, flat % size - before)
        flat = flat // size
    pairs = list(zip(places, sizes, strict=True))
    position = torch.zeros_like(flat)
    for place, size in reversed(pairs) if storage_order else pairs:
        position = position * size + place
    first = torch.arange(math.prod(x.shape[:2]), device=x.device) * math.prod(sizes)
    return values, position + first.reshape(*x.shape[:2], *[1] * len(sizes))


@call("MaxUnpool")
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


@call("LpPool")
def lp_pool(x: Tensor, kernel_shape: Sequence[int], p: int = 2, **attrs: Any) -> Tensor:
    """The p-norm of each window."""
    count = 1
    for n in kernel_shape:
        count *= n
    powers = x.abs() if p == 1 else x.square() if p == 2 else x.abs().pow(p)
    window = Window(kernel_shape=kernel_shape, **attrs)
    total = AveragePool(window, count_include_pad=True)(powers) * count
    return _root(total, p)


@call("GlobalLpPool")
def global_lp_pool(x: Tensor, p: int = 2) -> Tensor:
    """The p-norm over all spatial axes, which stay with length 1."""
    powers = x.abs() if p == 1 else x.square() if p == 2 else x.abs().pow(p)
    return _root(powers.sum(list(range(2, x.dim())), keepdim=True), p)


def _root(total: Tensor, p: int) -> Tensor:
    if p == 1:
        return total
    return total.sqrt() if p == 2 else total.pow(1 / p)


@call("AffineGrid")
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


@call("GridSample")
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
