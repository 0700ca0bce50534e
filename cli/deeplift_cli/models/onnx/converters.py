"""Converters for our own ops, in onnx2torch's registry, and the conversion itself."""

from collections.abc import Callable
from typing import Any

import torch
from onnx2torch import convert as onnx2torch_convert
from onnx2torch.node_converters import get_converter
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult
from torch import Tensor, nn

from deeplift_cli.models.onnx import math_modules as math
from deeplift_cli.models.onnx import shape_modules as shape
from deeplift_cli.models.onnx import window_modules as window
from deeplift_cli.models.onnx.calls import PREFIX, Call, functions
from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.normalise import TARGET_OPSET, Unsupported
from deeplift_cli.models.onnx.recurrent_modules import Recurrent

Build = Callable[[dict[str, Any], list[Tensor]], nn.Module]


def _constants(node: Any, graph: Any) -> list[Tensor | None]:
    """The values of a node's inputs, None for those that are left out or not constant."""
    return [graph.initializers[n].to_torch() if n in graph.initializers else None for n in node.input_values]


def _register(op_type: str, build: Build) -> None:
    """Make `build` (of the attributes and constant inputs) the converter of an op."""

    def converter(node: Any, graph: Any) -> OperationConverterResult:
        names = [name for name in node.input_values if name]
        constants = [value for value in _constants(node, graph) if value is not None]
        takes_all = op_type in _TAKING_CONSTANTS
        inputs = node.input_values if takes_all else tuple(n for n in names if n not in graph.initializers)
        module = build(attributes(node.proto), constants)
        return OperationConverterResult(module, OnnxMapping(inputs=inputs, outputs=node.output_values))

    _add(op_type, converter)


def _add(op_type: str, converter: Callable[[Any, Any], OperationConverterResult]) -> None:
    """Register a converter for all operator sets."""
    for version in range(1, TARGET_OPSET + 1):
        add_converter(operation_type=op_type, version=version)(converter)


def _register_call(op_type: str) -> None:
    """Make the function of an operator its converter."""

    def converter(node: Any, graph: Any) -> OperationConverterResult:  # noqa: ARG001
        given = [bool(name) for name in node.input_values]
        attrs = attributes(node.proto)
        opset = attrs.pop("from_opset")
        module = Call(op_type, attrs, given, opset, len(node.output_values))
        inputs = tuple(name for name in node.input_values if name)
        return OperationConverterResult(module, OnnxMapping(inputs=inputs, outputs=node.output_values))

    _add(PREFIX + op_type, converter)


def _register_recurrent(kind: str) -> None:
    """Register the converter of a recurrent layer, whose inputs may be constant or not."""

    def converter(node: Any, graph: Any) -> OperationConverterResult:
        constants, names = _constants(node, graph), node.input_values
        given = [place for place, name in enumerate(names) if name and name not in graph.initializers]
        used = [bool(name) for name in node.output_values]
        module = Recurrent(kind, attributes(node.proto), constants[1:], given, used)
        inputs = tuple(names[place] for place in given)
        return OperationConverterResult(module, OnnxMapping(inputs=inputs, outputs=node.output_values))

    _add(f"Static{kind}", converter)


def _window(attrs: dict[str, Any]) -> window.Window:
    names = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode")
    return window.Window(**{name: attrs[name] for name in names if name in attrs})


def _layer_norm(attrs: dict[str, Any], constants: list[Tensor]) -> nn.Module:
    return math.LayerNorm(constants[0], constants[1] if len(constants) > 1 else None, attrs["epsilon"])


def _cast(attrs: dict[str, Any], _: list[Tensor]) -> nn.Module:
    return math.Cast(math.torch_type(attrs["to"], torch.float32))


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
for _op_type in functions():
    _register_call(_op_type)
for _kind in ("LSTM", "GRU", "RNN"):
    _register_recurrent(_kind)
# onnx2torch knows this operator from operator set 9 on; what it means is no different in 7.
add_converter(operation_type="Gemm", version=7)(get_converter("Gemm", 9, ""))


def convert(graph: Graph) -> nn.Module:
    """Convert a normalised graph.

    Returns
    -------
    torch.fx.GraphModule
        In evaluation mode, without gradients; its submodules are named after the graph's nodes.
    """
    model = graph.to_model()
    try:
        module: nn.Module = onnx2torch_convert(model)
    except MemoryError:
        raise
    except Exception:
        _blame_node(model)
        raise
    return module.float().eval().requires_grad_(False)


def _blame_node(model: Any) -> None:
    """Convert each node by itself, and raise with its name what onnx2torch raised for the whole."""
    graph = OnnxGraph(model.graph)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in graph.nodes.values():
        with about(node.proto):
            get_converter(node.operation_type, versions[node.domain], node.domain)(node, graph)


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
