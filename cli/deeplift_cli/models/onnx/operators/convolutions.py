"""Convolutions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes, has_input
from deeplift_cli.models.onnx.registry import Conversion, call, operator
from deeplift_cli.models.onnx.windows import SpatialPad, Window, pad_spatial

_CONVS: list[Callable[..., Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
_LAYERS: list[Callable[..., nn.Conv1d | nn.Conv2d | nn.Conv3d]] = [nn.Conv1d, nn.Conv2d, nn.Conv3d]
_TRANSPOSED: list[Callable[..., Tensor]] = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]


@operator("Conv")
def conv(node: NodeProto, graph: Graph) -> Conversion:
    """A layer of torch's where the weights are constant, with padding that torch lacks in front of it."""
    weight = graph.constant(node, 1)
    if weight is None or not graph.is_constant(node, 2):
        return call(conv_of_tensors, node)
    attrs, spatial = attributes(node), weight.ndim - 2
    if not 1 <= spatial <= len(_LAYERS):
        raise NotImplementedError(f"a convolution over {spatial} axes")
    group = attrs.get("group", 1)
    window = _window(attrs, weight.shape[2:])
    padding = window.constant_amounts()
    even = padding is not None and all(before == after >= 0 for before, after in padding)
    layer = _LAYERS[spatial - 1](
        weight.shape[1] * group,
        weight.shape[0],
        window.kernel,
        window.strides,
        [before for before, _ in padding] if padding is not None and even else 0,
        window.dilations,
        group,
        bias=has_input(node, 2),
        device="meta",
    )
    layer.weight = nn.Parameter(graph.tensor(node.input[1]))
    if has_input(node, 2):
        layer.bias = nn.Parameter(graph.tensor(node.input[2]))
    return Conversion(layer if even else nn.Sequential(SpatialPad(window), layer), (node.input[0],))


def _window(attrs: dict[str, Any], sizes: Sequence[int]) -> Window:
    names = ("strides", "dilations", "pads", "auto_pad")
    given = {name: attrs[name] for name in names if name in attrs}
    return Window(attrs.get("kernel_shape") or list(sizes), **given)


def conv_of_tensors(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, group: int = 1, **attrs: Any
) -> Tensor:
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


@operator("ConvTranspose")
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
