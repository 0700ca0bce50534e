"""Operators that ONNX itself defines by simpler ones: put in place of those that nothing converts."""

from typing import Any

from onnx import defs, helper, inliner

from deeplift_cli.models.onnx.fold import fold_constants
from deeplift_cli.models.onnx.graph import Graph
from deeplift_cli.models.onnx.rewrites import is_converted


def expand_by_definition(graph: Graph) -> Graph:
    """Return the graph with ONNX's definition in place of each operator that has one and nothing converts.

    Where the definition has operators that nothing converts either, it stays, to be refused by its name.
    """
    for name in sorted({node.op_type for node in graph.nodes if not node.domain}):
        if is_converted(name) or not has_definition(name, graph.opset):
            continue
        expanded = _expanded(graph, name)
        new = {node.op_type for node in expanded.nodes} - {node.op_type for node in graph.nodes}
        if all(is_converted(kind) or has_definition(kind, graph.opset) for kind in new):
            return expand_by_definition(expanded)
    return graph


def _expanded(graph: Graph, name: str) -> Graph:
    model = inliner.inline_selected_functions(
        _explicit(graph, name), [("", name)], inline_schema_functions=True
    )
    expanded = Graph.from_model(model)
    fold_constants(expanded)
    expanded.infer_shapes()
    return expanded


def _explicit(graph: Graph, name: str) -> Any:
    """Return the model with what the inliner asks for: types of constants, attributes at their defaults."""
    schema = defs.get_schema(name, max_inclusive_version=graph.opset)
    for node in graph.nodes:
        if node.op_type == name and not node.domain:
            given = {item.name for item in node.attribute}
            defaults = [item.default_value for key, item in schema.attributes.items() if key not in given]
            node.attribute.extend(value for value in defaults if value.name)
    model = graph.to_model()
    for tensor in model.graph.initializer:
        model.graph.value_info.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    return model


def has_definition(op_type: str, opset: int) -> bool:
    """Whether ONNX defines an operator by simpler ones."""
    try:
        schema = defs.get_schema(op_type, max_inclusive_version=opset)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
