"""Operators that ONNX itself defines by simpler ones: put in place of those that nothing converts."""

from typing import Any

from onnx import defs, helper, inliner

from deeplift_cli.models.onnx_conversion.fold import fold_constants
from deeplift_cli.models.onnx_conversion.graph import Graph
from deeplift_cli.models.onnx_conversion.rewrites import is_converted


def expand_by_definition(graph: Graph) -> Graph:
    """Return the graph with ONNX's definition in place of each operator that has one and nothing converts."""
    names = {node.op_type for node in graph.nodes if not node.domain}
    unknown = [name for name in sorted(names) if not is_converted(name) and has_definition(name, graph.opset)]
    if not unknown:
        return graph
    model = inliner.inline_selected_functions(
        _explicit(graph, unknown), [("", name) for name in unknown], inline_schema_functions=True
    )
    expanded = Graph.from_model(model)
    fold_constants(expanded)
    expanded.infer_shapes()
    return expand_by_definition(expanded)  # a definition may use operators that have one


def _explicit(graph: Graph, names: list[str]) -> Any:
    """Return the model with what the inliner asks for: types of constants, attributes at their defaults."""
    for node in graph.nodes:
        if node.op_type in names and not node.domain:
            schema = defs.get_schema(node.op_type, max_inclusive_version=graph.opset)
            given = {item.name for item in node.attribute}
            defaults = [item.default_value for name, item in schema.attributes.items() if name not in given]
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
