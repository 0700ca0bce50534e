"""Operators that ONNX itself defines by simpler ones: written out where nothing else converts them."""

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, defs, helper, inliner

from deeplift_cli.models.onnx import library
from deeplift_cli.models.onnx.graph import Graph
from deeplift_cli.models.onnx.operators.control_flow import handed_over, renamed_body
from deeplift_cli.models.onnx.registry import find_type


def definition(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """Return ONNX's definition of a node that has one and that nothing converts; None for any other node.

    Where the definition has operators that nothing converts either, the node stays, to be refused by name.
    """
    if (
        node.domain
        or is_converted(node.op_type, graph.opset)
        or not has_definition(node.op_type, graph.opset)
    ):
        return None
    body = _inlined(node, graph)
    kinds = {inner.op_type for inner in body.node} - {"Constant"}
    if not all(is_converted(kind, graph.opset) or has_definition(kind, graph.opset) for kind in kinds):
        return None
    nodes, results = renamed_body(body, [value.name for value in body.input], node.name, graph)
    return [*nodes, *handed_over(results, node.output, node.name)]


def _inlined(node: NodeProto, graph: Graph) -> GraphProto:
    """Return a graph of this node alone, with ONNX's definition in its place."""
    explicit = NodeProto()
    explicit.CopyFrom(node)
    schema = defs.get_schema(node.op_type, max_inclusive_version=graph.opset)
    given = {item.name for item in node.attribute}
    defaults = [item.default_value for name, item in schema.attributes.items() if name not in given]
    explicit.attribute.extend(value for value in defaults if value.name)  # the inliner asks for all of them
    inputs = [_declared(name, graph) for name in dict.fromkeys(node.input) if name]
    outputs = [_declared(name, graph) for name in node.output if name]
    proto = helper.make_graph([explicit], "one node", inputs, outputs)
    model = helper.make_model(proto, opset_imports=graph.opsets(), ir_version=8)
    inlined: ModelProto = inliner.inline_selected_functions(
        model, [("", node.op_type)], inline_schema_functions=True
    )
    return inlined.graph


def _declared(name: str, graph: Graph) -> ValueInfoProto:
    if name in graph.constants:
        value = graph.constants[name]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    return graph.infos.get(name) or ValueInfoProto(name=name)


def is_converted(op_type: str, opset: int) -> bool:
    """Return whether the registry or onnx2torch converts an operator of the default domain."""
    registered = find_type(op_type, opset)
    return (registered is not None and not registered.written_out) or library.knows(op_type)


def has_definition(op_type: str, opset: int) -> bool:
    """Return whether ONNX defines an operator by simpler ones."""
    try:
        schema = defs.get_schema(op_type, max_inclusive_version=opset)
    except defs.SchemaError:
        return False
    # onnx's stubs lack both
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]
