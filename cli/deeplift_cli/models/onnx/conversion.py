"""From a prepared graph to a torch module: first each node by itself, then the whole.

A node becomes what the registry says. All others are left to onnx2torch, which knows operators up to operator
set 17: they are checked to mean there what they mean in the file.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from operator import getitem

import numpy as np
from onnx import NodeProto, TensorProto
from torch import fx, nn

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import (
    CONSTANTS,
    FLOAT_TYPES,
    Graph,
    Shape,
    attributes,
    make_node,
    uniquely_named,
)
from deeplift_cli.models.onnx.library import (
    TARGET_OPSET,
    has_converter,
    modules_of_library,
    same_at_target,
)
from deeplift_cli.models.onnx.operators.shapes import Reshape
from deeplift_cli.models.onnx.registry import Conversion, find


@dataclass(frozen=True)
class Unsupported:
    """An operator that nothing converts.

    Attributes
    ----------
    operator : str
        Its type, with its domain where that is not the default one.
    node : str
        Name of the node that uses it.
    """

    operator: str
    node: str


def convert_nodes(graph: Graph) -> list[Unsupported]:
    """Convert, in place, each node that the registry knows: the graph's `modules` get what it becomes.

    Returns
    -------
    list of Unsupported
        The nodes that neither the registry nor onnx2torch converts. Without any, `to_module` makes one module
        of the graph.
    """
    graph.nodes = list(uniquely_named(graph.nodes))  # bodies of loops may have names that others have
    _remove_identities(graph)
    _trim_outputs(graph)
    graph.nodes = [new for node in graph.nodes for new in _converted(node, graph)]
    _remove_identities(graph)
    graph.remove_unused()
    _single_precision(graph)
    return list(_unsupported(graph))


def _converted(node: NodeProto, graph: Graph) -> list[NodeProto]:
    """Return what takes a node's place: itself, where it has a module now or is left to onnx2torch."""
    registered = find(node, graph)
    if registered is None or registered.written_out:
        return [node]
    with about(node):
        result = registered.convert(node, graph)
    if isinstance(result, Conversion):
        graph.modules[node.name] = result.module
        del node.input[:]
        node.input.extend(result.inputs)
        return [node]
    return [node] if result is None else [new for item in result for new in _converted(item, graph)]


def _trim_outputs(graph: Graph) -> None:
    """Drop the last outputs that nothing uses, such as masks and statistics; of `Split` all count."""
    for node in graph.nodes:
        while len(node.output) > 1 and node.op_type != "Split" and not graph.is_used(node.output[-1]):
            node.output.pop()


def _remove_identities(graph: Graph) -> None:
    """Remove what does nothing at inference: `Identity`, `Dropout`, casts from float to float."""
    outputs = {value.name for value in graph.outputs}
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        if not _does_nothing(node, graph):
            kept.append(node)
        elif node.output[0] in outputs:
            kept.append(make_node(node, "Identity", node.input[:1], node.output[:1]))
        else:
            renamed[node.output[0]] = node.input[0]
    graph.nodes = kept


def _does_nothing(node: NodeProto, graph: Graph) -> bool:
    if node.domain or node.op_type not in ("Identity", "Dropout", "Cast"):
        return False
    if node.op_type == "Cast":
        return graph.is_float(node.input[0]) and attributes(node)["to"] in FLOAT_TYPES
    mask = node.output[1] if len(node.output) > 1 else ""
    return not mask or not graph.is_used(mask)


def free_reshapes(graph: Graph, fixed: dict[str, Shape | None]) -> None:
    """Let reshapes to a constant first axis work that axis out, from the other axes of the `fixed` shapes.

    Where another axis is not known, the first is copied from the input if it is the same there.

    Parameters
    ----------
    graph : Graph
        After `convert_nodes`, of a model for any number of rows.
    fixed : dict
        The shape of each value in the file as it is, for a fixed number of rows.
    """
    for node in graph.nodes:
        module = graph.modules.get(node.name)
        if not isinstance(module, Reshape):
            continue
        shape = list(module.shape)
        source, result = fixed.get(node.input[0]), fixed.get(node.output[0])
        if not shape or shape[0] in (-1, 0):
            continue
        if result is not None and None not in result[1:]:
            shape = [-1, *(n for n in result[1:] if n is not None)]
        elif source and source[0] == shape[0]:
            shape[0] = 0
        elif -1 not in shape:
            shape[0] = -1
        module.shape = tuple(shape)


def _single_precision(graph: Graph) -> None:
    """Make all floating-point constants float32, so that one precision runs through the module."""
    for name, value in graph.constants.items():
        if value.dtype.kind == "f" or value.dtype.name == "bfloat16":
            graph.constants[name] = value.astype(np.float32, copy=False)
    for info in graph.inputs:
        if info.type.tensor_type.elem_type in FLOAT_TYPES:
            info.type.tensor_type.elem_type = TensorProto.FLOAT


def _unsupported(graph: Graph) -> Iterator[Unsupported]:
    """Label the graph with an operator set that onnx2torch knows, yielding what it cannot convert there."""
    opset, graph.opset = graph.opset, min(graph.opset, TARGET_OPSET)
    for node in graph.nodes:
        if node.name in graph.modules:
            continue
        if not node.domain and opset > TARGET_OPSET and not same_at_target(node, opset):
            yield Unsupported(f"{node.op_type} (operator set {opset})", node.name)
        elif not has_converter(node, graph):
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            yield Unsupported(name, node.name)


def to_module(graph: Graph) -> nn.Module:
    """Make one torch module of a graph whose nodes are converted.

    Returns
    -------
    torch.fx.GraphModule
        The module in evaluation mode, without gradients; its submodules are named after the graph's nodes.
    """
    by_library = modules_of_library(graph)
    root, result = nn.Module(), fx.Graph()
    root.add_module(CONSTANTS, constants := nn.Module())
    values = {value.name: result.placeholder(f"input_{place}") for place, value in enumerate(graph.inputs, 1)}

    numbers = itertools.count()

    def value_of(name: str) -> fx.Node:
        if name not in values:
            if name not in graph.constants:
                raise ValueError(f"no node makes the value {name}")
            buffer = f"constant_{next(numbers)}"
            constants.register_buffer(buffer, graph.tensor(name))
            values[name] = result.get_attr(f"{CONSTANTS}.{buffer}")
        return values[name]

    for node in graph.nodes:
        ours = node.name in graph.modules
        conversion = (
            Conversion(graph.modules[node.name], tuple(node.input)) if ours else by_library[node.name]
        )
        with about(node):
            root.add_module(node.name, conversion.module)
            arguments = tuple(value_of(name) if name else None for name in conversion.inputs)
            made = result.call_module(node.name, arguments)
        if len(node.output) == 1:
            values[node.output[0]] = made
            continue
        for place, name in enumerate(node.output):
            if graph.is_used(name):
                values[name] = result.call_function(getitem, (made, place))
    outputs = [value_of(value.name) for value in graph.outputs]
    result.output(outputs[0] if len(outputs) == 1 else outputs)
    return fx.GraphModule(root, result).float().eval().requires_grad_(False)
