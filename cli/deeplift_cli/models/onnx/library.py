"""What onnx2torch converts: the operators that the registry has no function for."""

import dataclasses
from typing import Any

from onnx import NodeProto, defs, helper
from onnx2torch.node_converters import get_converter
from onnx2torch.node_converters.registry import _CONVERTER_REGISTRY
from onnx2torch.onnx_graph import OnnxGraph

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion

# The newest operator set that onnx2torch knows well; newer operators are brought down to it.
TARGET_OPSET = 17


def knows(op_type: str) -> bool:
    """Return whether onnx2torch has a converter for an operator of the default domain in any version."""
    return op_type in {entry.operation_type for entry in _CONVERTER_REGISTRY if not entry.domain}


def has_converter(node: NodeProto, graph: Graph) -> bool:
    """Return whether onnx2torch has a converter for a node."""
    try:
        get_converter(node.op_type, graph.version(node.domain), node.domain)
    except NotImplementedError:
        return False
    return True


def same_at_target(node: NodeProto, opset: int) -> bool:
    """Return whether a node means the same at `TARGET_OPSET`; attributes at their newer default are removed.

    Newer versions of an operator that have the same attributes and inputs have only learnt further types.
    """
    try:
        newer = defs.get_schema(node.op_type, max_inclusive_version=opset)
        older = defs.get_schema(node.op_type, max_inclusive_version=TARGET_OPSET)
    except defs.SchemaError:
        return False
    if newer.since_version == older.since_version:
        return True
    for name, value in attributes(node).items():
        if name in older.attributes:
            continue
        if value not in (_default(newer.attributes[name]), b""):
            return False
        node.attribute.remove(next(item for item in node.attribute if item.name == name))
    return len(node.input) <= int(older.max_input)


def _default(attribute: defs.OpSchema.Attribute) -> Any:
    value = helper.get_attribute_value(attribute.default_value) if attribute.default_value.name else None
    return value.decode() if isinstance(value, bytes) else value


def modules_of_library(graph: Graph) -> dict[str, Conversion]:
    """Return what onnx2torch makes of each node that has no module yet."""
    nodes = [node for node in graph.nodes if node.name not in graph.modules]
    library = OnnxGraph(dataclasses.replace(graph, nodes=nodes, outputs=[]).to_model().graph)
    found = {}
    for node, theirs in zip(nodes, library.nodes.values(), strict=True):
        with about(node):
            convert = get_converter(node.op_type, graph.version(node.domain), node.domain)
            module, mapping = convert(theirs, library)
        found[node.name] = Conversion(module, tuple(mapping.inputs))
    return found
