"""Converters for our own ops, in onnx2torch's registry, and the conversion itself.

Importing this takes seconds, as onnx2torch imports torchvision.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnx2torch import convert as onnx2torch_convert
from onnx2torch.node_converters import get_converter
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import Tensor, nn

from deeplift_cli.models.onnx_conversion import math_modules as math
from deeplift_cli.models.onnx_conversion import shape_modules as shape
from deeplift_cli.models.onnx_conversion import window_modules as window
from deeplift_cli.models.onnx_conversion.graph import Graph
from deeplift_cli.models.onnx_conversion.normalise import TARGET_OPSET, Unsupported

Build = Callable[[dict[str, Any], list[Tensor]], nn.Module]


def _register(op_type: str, build: Build) -> None:
    """Make `build` (of the attributes and constant inputs) the converter of an op, in all operator sets."""

    def converter(node: Any, graph: Any) -> OperationConverterResult:
        names = [name for name in node.input_values if name]
        constants = [graph.initializers[name].to_torch() for name in names if name in graph.initializers]
        takes_all = op_type in _TAKING_CONSTANTS
        inputs = node.input_values if takes_all else tuple(n for n in names if n not in graph.initializers)
        module = build(dict(node.attributes), constants)
        return OperationConverterResult(module, OnnxMapping(inputs=inputs, outputs=node.output_values))

    for version in range(1, TARGET_OPSET + 1):
        add_converter(operation_type=op_type, version=version)(converter)


def _window(attrs: dict[str, Any]) -> window.Window:
    names = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode")
    return window.Window(**{name: attrs[name] for name in names if name in attrs})


def _layer_norm(attrs: dict[str, Any], constants: list[Tensor]) -> nn.Module:
    return math.LayerNorm(constants[0], constants[1] if len(constants) > 1 else None, attrs["epsilon"])


def _group_norm(attrs: dict[str, Any], constants: list[Tensor]) -> nn.Module:
    scale, bias = constants
    return math.GroupNorm(attrs["num_groups"], scale, bias, attrs["epsilon"])


def _cast(attrs: dict[str, Any], _: list[Tensor]) -> nn.Module:
    return math.Cast(_TORCH_TYPES[attrs["to"]])


# By the numbers of onnx.TensorProto; all floating-point types mean the module's own precision.
_TORCH_TYPES = {
    1: torch.float32, 10: torch.float32, 11: torch.float32, 16: torch.float32,
    2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
}  # fmt: skip

# Ops whose constant operands are arguments of the call like any other.
_TAKING_CONSTANTS = {
    "DynamicExpand",
    "DynamicReshape",
    "DynamicSlice",
    "StaticCast",
    "StaticMax",
    "StaticMin",
    "StaticSum",
}

_BUILDERS: dict[str, Build] = {
    "DynamicExpand": lambda attrs, _: shape.DynamicExpand(),
    "DynamicReshape": lambda attrs, _: shape.DynamicReshape(),
    "DynamicSlice": lambda attrs, _: shape.DynamicSlice(),
    "StaticActivation": lambda attrs, _: math.Activation(**attrs),
    "StaticAveragePool": lambda attrs, _: window.AveragePool(
        _window(attrs), bool(attrs.get("count_include_pad", 0))
    ),
    "StaticBatchNorm": lambda attrs, given: math.BatchNorm(attrs.get("epsilon", 1e-5), *given),
    "StaticCast": _cast,
    "StaticClip": lambda attrs, _: math.Clip(attrs.get("min"), attrs.get("max")),
    "StaticExpand": lambda attrs, _: shape.Expand(**attrs),
    "StaticGather": lambda attrs, _: shape.Gather(**attrs),
    "StaticGlobalAveragePool": lambda attrs, _: math.GlobalPool(maximum=False),
    "StaticGlobalMaxPool": lambda attrs, _: math.GlobalPool(maximum=True),
    "StaticGroupNorm": lambda attrs, given: _group_norm(attrs, given),
    "StaticLayerNorm": _layer_norm,
    "StaticMax": lambda attrs, _: math.Pairwise(torch.maximum),
    "StaticMaxPool": lambda attrs, _: window.MaxPool(_window(attrs)),
    "StaticMin": lambda attrs, _: math.Pairwise(torch.minimum),
    "StaticPad": lambda attrs, _: shape.Pad(**attrs),
    "StaticPrelu": lambda attrs, given: math.Prelu(given[0]),
    "StaticReduce": lambda attrs, _: math.Reduce(**attrs),
    "StaticReshape": lambda attrs, _: window.Reshape(**attrs),
    "StaticSamePad": lambda attrs, _: window.SamePad(**attrs),
    "StaticSlice": lambda attrs, _: shape.Slice(**attrs),
    "StaticSplit": lambda attrs, _: shape.Split(**attrs),
    "StaticSqueeze": lambda attrs, _: shape.Squeeze(**attrs),
    "StaticSum": lambda attrs, _: math.Pairwise(torch.add),
    "StaticTile": lambda attrs, _: shape.Tile(**attrs),
    "StaticUnsqueeze": lambda attrs, _: shape.Unsqueeze(**attrs),
}

for _op_type, _builder in _BUILDERS.items():
    _register(_op_type, _builder)


def convert(graph: Graph) -> nn.Module:
    """Convert a normalised graph.

    Returns
    -------
    torch.fx.GraphModule
        In evaluation mode, without gradients; its submodules are named after the graph's nodes.
    """
    module: nn.Module = onnx2torch_convert(graph.to_model())
    return module.float().eval().requires_grad_(False)


def without_converter(graph: Graph) -> list[Unsupported]:
    """Return the nodes whose op nothing converts."""
    missing = []
    for node in graph.nodes:
        try:
            get_converter(node.op_type, graph.domains.get(node.domain, graph.opset), node.domain)
        except NotImplementedError:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            missing.append(Unsupported(operator, node.name))
    return missing
