"""Working out, in a graph that is still ONNX, all that is known before the model runs.

Constants are folded; branches, loops and sequences of which the course is known are written out; and
operations that only training needs are taken out.
"""

import onnx

from deeplift_cli.models.onnx.definitions import definition
from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.fold import fold_constants, fold_indexed_shapes
from deeplift_cli.models.onnx.graph import FLOAT_TYPES, Graph, attributes
from deeplift_cli.models.onnx.registry import find
from deeplift_cli.models.onnx.training import as_at_inference
from deeplift_cli.models.onnx.validity import require_few_written_out

_DEEPEST = 30  # levels of branches and loops inside each other


def prepare(graph: Graph) -> tuple[str, ...]:
    """Work out, in place, what is known beforehand.

    Parameters
    ----------
    graph : Graph
        The graph as `Graph.from_model` or `Graph.with_open_batch` made it.

    Returns
    -------
    tuple of str
        Notes on what was changed because it only has a meaning in training.

    Raises
    ------
    UserError
        Where random numbers are part of what the model computes.
    """
    _take_float_inputs(graph)
    graph.infer_shapes()
    known = _fold(graph)
    notes = as_at_inference(graph)
    if notes or not known:
        graph.infer_shapes()
    return notes


def _fold(graph: Graph) -> bool:
    """Fold what is constant: constants tell of shapes, and of branches.

    Returns
    -------
    bool
        Whether nothing has been folded since shapes were inferred last.
    """
    known = True
    for _ in range(_DEEPEST):
        if fold_constants(graph) or not known:
            graph.infer_shapes()
        known = not any([fold_indexed_shapes(graph), fold_constants(graph)])
        if not write_out(graph):
            break
        known = False
    return known


def write_out(graph: Graph) -> bool:
    """Put, in place, nodes of which the course is known into the place of others, as the registry says.

    Returns
    -------
    bool
        Whether there was a node that is written out.
    """
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.nodes:
        registered = find(node, graph)
        with about(node):
            written = registered.write_out(node, graph) if registered else definition(node, graph)
        changed = changed or written is not None
        nodes.extend([node] if written is None else written)
        require_few_written_out(len(nodes))
    graph.nodes = nodes
    return changed


def _take_float_inputs(graph: Graph) -> None:
    """Declare as float an input of another type that the model turns into floats before all else."""
    for value in graph.inputs:
        users = graph.users(value.name)
        casts = [node for node in users if node.op_type == "Cast" and attributes(node)["to"] in FLOAT_TYPES]
        if users and len(casts) == len(users):
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            graph.infos[value.name] = value
