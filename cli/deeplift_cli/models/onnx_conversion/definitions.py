"""Operators that ONNX itself defines by simpler ones: put in place of those that nothing converts."""

from onnx import defs, inliner

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
        graph.to_model(), [("", name) for name in unknown], inline_schema_functions=True
    )
    expanded = Graph.from_model(model)
    fold_constants(expanded)
    expanded.infer_shapes()
    return expanded


def has_definition(op_type: str, opset: int) -> bool:
    """Whether ONNX defines an operator by simpler ones."""
    try:
        schema = defs.get_schema(op_type, max_inclusive_version=opset)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
