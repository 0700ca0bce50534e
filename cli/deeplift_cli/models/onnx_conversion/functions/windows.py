"""Convolutions and pooling in the forms that the rewrites leave."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx_conversion.calls import call
from deeplift_cli.models.onnx_conversion.window_modules import AveragePool, Window, pad_spatial

_CONVS: list[Callable[..., Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
_TRANSPOSED: list[Callable[..., Tensor]] = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]


@call("Conv")
def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, group: int = 1, **attrs: Any) -> Tensor:
    """A convolution whose kernel is worked out in the graph."""
    attrs["kernel_shape"] = list(weight.shape[2:])
    window = Window(**attrs)
    x = pad_spatial(x, window.amounts(x.shape[2:]), 0.0)
    return _CONVS[weight.dim() - 3](x, weight, bias, window.strides, 0, window.dilations, group)


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
