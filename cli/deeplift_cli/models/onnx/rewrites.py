"""One spelling for ops that have several: arguments in attributes, and ops that onnx2torch or we convert.

Each rewrite takes a node and returns what replaces it, or None to leave it. Ops named ``Static...`` are our
own: their converters are in `converters`, and all their arguments are attributes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx2torch.node_converters.registry import _CONVERTER_REGISTRY

from deeplift_cli.models.onnx.calls import PREFIX, functions
from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import Array, Graph, attributes, has_input, make_node

Rewrite = Callable[[Any, Graph], list[Any] | None]
REWRITES: dict[str, Rewrite] = {}

# Ops that get a converter of ours as they are; see `rename`.
RENAMED = {
    "AveragePool": "StaticAveragePool",
    "BatchNormalization": "StaticBatchNorm",
    "Cast": "StaticCast",
    "GlobalAveragePool": "StaticGlobalAveragePool",
    "GlobalMaxPool": "StaticGlobalMaxPool",
    "MaxPool": "StaticMaxPool",
}
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def rewrites(*op_types: str) -> Callable[[Rewrite], Rewrite]:
    """Register a rewrite for nodes of these types."""

    def register(function: Rewrite) -> Rewrite:
        REWRITES.update(dict.fromkeys(op_types, function))
        return function

    return register


def rewrite_nodes(graph: Graph) -> None:
    """Apply the rewrites in place."""
    _trim_outputs(graph)
    nodes = []
    for node in graph.nodes:
        function = None if node.domain else REWRITES.get(node.op_type)
        with about(node):
            replacement = function(node, graph) if function else None
            if replacement is None and not node.domain and node.op_type in functions():
                replacement = [as_call(node, graph)]
        nodes.extend([node] if replacement is None else replacement)
    graph.nodes = nodes


def as_call(node: Any, graph: Graph) -> Any:
    """Hand a node over to the function of its operator, in `functions`."""
    attrs = {key: value for key, value in attributes(node).items() if value != []}
    return make_node(node, PREFIX + node.op_type, node.input, from_opset=graph.opset, **attrs)


def is_own(op_type: str) -> bool:
    """Whether an operator is one that the rewrites make."""
    dynamic = ("DynamicExpand", "DynamicReshape", "DynamicSlice")
    return op_type.startswith(("Static", PREFIX)) or op_type in dynamic


def is_converted(op_type: str) -> bool:
    """Whether an operator of the default domain has a converter, here or in onnx2torch."""
    if op_type in REWRITES or op_type in functions():
        return True
    return op_type in {entry.operation_type for entry in _CONVERTER_REGISTRY if not entry.domain}


def _trim_outputs(graph: Graph) -> None:
    """Drop the last outputs that nothing uses, such as masks and statistics; of `Split` all count."""
    used = {name for node in graph.nodes for name in node.input} | {value.name for value in graph.outputs}
    for node in graph.nodes:
        while len(node.output) > 1 and node.output[-1] not in used and node.op_type != "Split":
            node.output.pop()


def ints(values: Array | None) -> list[int] | None:
    """Return an array's elements as a flat list of int."""
    return None if values is None else [int(value) for value in values.reshape(-1)]


def new_constant(graph: Graph, node: Any, suffix: str, value: Array) -> str:
    """Add a constant that belongs to `node`; return its name."""
    name = f"{node.name}:{suffix}"
    graph.constants[name] = value
    return name


@rewrites(*RENAMED)
def rename(node: Any, graph: Graph) -> list[Any] | None:
    """Hand the node over to our own converter, without outputs that only training uses."""
    if len(node.output) > 1:
        return None
    parameters = node.input[1:] if node.op_type == "BatchNormalization" else []
    if any(name not in graph.constants for name in parameters):
        return None
    return [make_node(node, RENAMED[node.op_type], node.input, node.output[:1], **attributes(node))]


@rewrites("Reshape")
def reshape(node: Any, graph: Graph) -> list[Any] | None:
    """Move a constant shape into an attribute; `allowzero` matters for empty tensors only."""
    shape = attributes(node).get("shape") or ints(graph.constant(node, 1))
    if shape is None:
        return [make_node(node, "DynamicReshape", node.input)]
    return [make_node(node, "StaticReshape", node.input[:1], shape=shape)]


@rewrites("Expand", "Tile")
def expand(node: Any, graph: Graph) -> list[Any] | None:
    """Move a constant shape (or constant repeats) into an attribute."""
    shape = ints(graph.constant(node, 1))
    if shape is not None:
        return [make_node(node, f"Static{node.op_type}", node.input[:1], shape=shape)]
    return [make_node(node, "DynamicExpand", node.input)] if node.op_type == "Expand" else None


@rewrites("Squeeze", "Unsqueeze")
def squeeze(node: Any, graph: Graph) -> list[Any] | None:
    """Move the axes into an attribute."""
    if not graph.is_constant(node, 1):
        return None
    axes = ints(graph.constant(node, 1)) or attributes(node).get("axes")
    return [make_node(node, f"Static{node.op_type}", node.input[:1], axes=axes)]


@rewrites(*(f"Reduce{name}" for name in _REDUCTIONS))
def reduce(node: Any, graph: Graph) -> list[Any] | None:
    """Move the axes into an attribute, for all reductions and operator sets alike."""
    if not graph.is_constant(node, 1):
        return None
    attrs = attributes(node)
    axes = ints(graph.constant(node, 1)) or attrs.get("axes")
    if not axes and attrs.get("noop_with_empty_axes", 0):
        return [make_node(node, "Identity", node.input[:1])]
    kind, keep = node.op_type.removeprefix("Reduce"), attrs.get("keepdims", 1)
    return [make_node(node, "StaticReduce", node.input[:1], kind=kind, axes=axes, keepdims=keep)]


@rewrites("Slice")
def slices(node: Any, graph: Graph) -> list[Any] | None:
    """Move starts, ends, axes and steps into attributes where they are constant."""
    if not all(graph.is_constant(node, index) for index in range(1, 5)):
        return [make_node(node, "DynamicSlice", node.input)]
    attrs = attributes(node)
    for index, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        value = ints(graph.constant(node, index)) if has_input(node, index) else None
        attrs = attrs if value is None else {**attrs, name: value}
    return [make_node(node, "StaticSlice", node.input[:1], **attrs)]


@rewrites("Gather")
def gather(node: Any, graph: Graph) -> list[Any] | None:
    """Move constant indices into an attribute: a select or index_select instead of advanced indexing."""
    index = graph.constant(node, 1)
    if index is None or index.ndim > 1 or node.input[0] in graph.constants:
        return None
    indices, axis = ints(index), attributes(node).get("axis", 0)
    return [
        make_node(
            node, "StaticGather", node.input[:1], indices=indices, axis=axis, scalar=int(index.ndim == 0)
        )
    ]


@rewrites("Split")
def split(node: Any, graph: Graph) -> list[Any] | None:
    """Move the sizes into an attribute; without them the parts are as equal as they can be."""
    attrs = attributes(node)
    sizes = attrs.get("split") or ints(graph.constant(node, 1))
    if sizes is None and has_input(node, 1):
        return None
    axis = attrs.get("axis", 0)
    return [make_node(node, "StaticSplit", node.input[:1], axis=axis, sizes=sizes, parts=len(node.output))]


@rewrites("Pad")
def pad(node: Any, graph: Graph) -> list[Any] | None:
    """Move amounts, value and axes into attributes."""
    if not all(graph.is_constant(node, index) for index in (1, 2, 3)):
        return None
    attrs = attributes(node)
    pads = attrs.get("pads") or ints(graph.constant(node, 1))
    value = graph.constant(node, 2)
    fill = attrs.get("value", 0.0) if value is None else float(value.reshape(-1)[0])
    axes = ints(graph.constant(node, 3))
    mode = attrs.get("mode", "constant")
    return [make_node(node, "StaticPad", node.input[:1], pads=pads, value=fill, axes=axes, mode=mode)]


@rewrites("Clip")
def clip(node: Any, graph: Graph) -> list[Any] | None:
    """Move the bounds into attributes."""
    if not graph.is_constant(node, 1) or not graph.is_constant(node, 2):
        return None
    attrs = attributes(node)
    low, high = (
        attrs.get(name) if value is None else float(value)
        for name, value in (("min", graph.constant(node, 1)), ("max", graph.constant(node, 2)))
    )
    return [make_node(node, "StaticClip", node.input[:1], min=low, max=high)]


@rewrites("Max", "Min")
def extremes(node: Any, graph: Graph) -> list[Any] | None:
    """Turn the maximum or minimum of a tensor and a constant number into a clip, others into pairs."""
    values = [graph.constant(node, index) for index in range(len(node.input))]
    numbers = [value.item() for value in values if value is not None and value.size == 1 and value.ndim <= 1]
    tensors = [name for name, value in zip(node.input, values, strict=True) if value is None]
    if len(tensors) == 1 and len(numbers) == len(values) - 1 and numbers and graph.is_float(tensors[0]):
        low, high = (float(max(numbers)), None) if node.op_type == "Max" else (None, float(min(numbers)))
        return [make_node(node, "StaticClip", tensors, min=low, max=high)]
    return [make_node(node, f"Static{node.op_type}", node.input)]


@rewrites("Sum")
def sum_of_tensors(node: Any, graph: Graph) -> list[Any]:  # noqa: ARG001
    """Turn a sum of several tensors into additions: onnx2torch adds in place."""
    if len(node.input) == 1:
        return [make_node(node, "Identity", node.input)]
    return [make_node(node, "StaticSum", node.input)]


@rewrites("Conv")
def conv(node: Any, graph: Graph) -> list[Any] | None:
    """Put uneven padding, and padding that depends on the length, into a node of its own before it."""
    weight = graph.constant(node, 1)
    if weight is None or not graph.is_constant(node, 2):
        return None
    attrs = attributes(node)
    spatial = weight.ndim - 2
    window = {
        "kernel_shape": attrs.get("kernel_shape") or list(weight.shape[2:]),
        "strides": attrs.get("strides") or [1] * spatial,
        "dilations": attrs.get("dilations") or [1] * spatial,
    }
    auto, pads = attrs.pop("auto_pad", "NOTSET"), attrs.get("pads") or [0] * 2 * spatial
    if auto == "VALID":
        pads = [0] * 2 * spatial
    elif auto.startswith("SAME"):
        pads = _same_pads(auto, **window)
    attrs = {**attrs, **window, "pads": pads}
    if pads is not None and pads[:spatial] == pads[spatial:]:
        return [make_node(node, "Conv", node.input, **attrs)]
    padded = f"{node.name}:padded"
    if pads is None:
        before = make_node(
            node, "StaticSamePad", node.input[:1], [padded], lower=int(auto == "SAME_LOWER"), **window
        )
    else:
        amounts = [0, 0, *pads[:spatial], 0, 0, *pads[spatial:]]
        before = make_node(node, "StaticPad", node.input[:1], [padded], pads=amounts)
    before.name = f"{node.name}/pad"
    attrs["pads"] = [0] * 2 * spatial
    return [before, make_node(node, "Conv", [padded, *node.input[1:]], **attrs)]


def _same_pads(
    auto: str, kernel_shape: list[int], strides: list[int], dilations: list[int]
) -> list[int] | None:
    """Return the padding that keeps the length; None where it depends on the length."""
    if any(stride != 1 for stride in strides):
        return None
    totals = [dilation * (size - 1) for size, dilation in zip(kernel_shape, dilations, strict=True)]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*large, *small] if auto == "SAME_LOWER" else [*small, *large]


@rewrites("Gemm")
def gemm(node: Any, graph: Graph) -> list[Any] | None:
    """Bring a dense layer into the one form that onnx2torch makes a `Linear` of."""
    attrs = attributes(node)
    weight, bias = graph.constant(node, 1), graph.constant(node, 2)
    if weight is None or not graph.is_constant(node, 2) or attrs.get("transA", 0):
        return None
    weight = (weight if attrs.get("transB", 0) else weight.T) * np.asarray(
        attrs.get("alpha", 1.0), weight.dtype
    )
    inputs = [node.input[0], new_constant(graph, node, "weight", np.ascontiguousarray(weight))]
    if bias is not None:
        if bias.ndim == 2 and bias.shape[0] != 1:
            return None  # a bias for each row
        scaled = bias.reshape(-1) * np.asarray(attrs.get("beta", 1.0), bias.dtype)
        inputs.append(new_constant(graph, node, "bias", np.broadcast_to(scaled, weight.shape[:1]).copy()))
    return [make_node(node, "Gemm", inputs, transB=1)]


@rewrites("PRelu")
def prelu(node: Any, graph: Graph) -> list[Any] | None:
    """Hand slopes that are constant over to our own converter."""
    return [make_node(node, "StaticPrelu", node.input)] if graph.is_constant(node, 1) else None


@rewrites("LayerNormalization")
def layer_norm(node: Any, graph: Graph) -> list[Any] | None:
    """Take the normalised axes from the constant scale: the input's shape may be unknown."""
    if graph.constant(node, 1) is None or not graph.is_constant(node, 2) or len(node.output) > 1:
        return None
    return [make_node(node, "StaticLayerNorm", node.input, epsilon=attributes(node).get("epsilon", 1e-5))]


@rewrites("LSTM", "GRU", "RNN")
def recurrent(node: Any, graph: Graph) -> list[Any]:  # noqa: ARG001
    """Hand recurrent layers over to our own converter."""
    attrs = {key: value for key, value in attributes(node).items() if value != []}
    return [make_node(node, f"Static{node.op_type}", node.input, **attrs)]
