"""Working out, once and for all, what does not depend on the input."""

import numpy as np
import onnx
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import RANDOM, Array, Graph, attributes, has_input
from deeplift_cli.models.onnx.room import estimate


def fold_constants(graph: Graph) -> bool:
    """Evaluate, in place, each node whose inputs are all constant, and each `Shape` of a known shape.

    Returns
    -------
    bool
        Whether there was such a node.
    """
    kept = []
    for node in graph.nodes:
        with about(node):
            values = _shape_values(node, graph) or evaluate(node, graph)
        if values is None:
            kept.append(node)
        else:
            graph.constants.update(zip(node.output, values, strict=True))
    changed = len(kept) < len(graph.nodes)
    graph.nodes = kept
    return changed


def _shape_values(node: NodeProto, graph: Graph) -> list[Array] | None:
    if node.domain or node.op_type not in ("Shape", "Size"):
        return None
    shape = graph.shape(node.input[0])
    if shape is None:
        return None
    attrs = attributes(node)
    known = [n for n in shape[attrs.get("start", 0) : attrs.get("end", None)] if n is not None]
    if len(known) != len(shape[attrs.get("start", 0) : attrs.get("end", None)]):
        return None
    return [np.asarray(known if node.op_type == "Shape" else np.prod(known), dtype=np.int64)]


def evaluate(node: NodeProto, graph: Graph) -> list[Array] | None:
    """Return a node's outputs where all its inputs are constant and it can be evaluated.

    What would fill the memory, or take long, is left to be computed when it is needed.
    """
    names = [name for index, name in enumerate(node.input) if has_input(node, index)]
    if not names or any(name not in graph.constants for name in names) or not _foldable(node):
        return None
    feeds = {name: graph.constants[name] for name in names}
    if node.op_type == "Identity":
        return list(feeds.values())
    if not graph.room.take(estimate(node, feeds, graph.opset)):
        return None
    try:
        return run_node(node, feeds, graph.opset)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the reference implementation lacks it: the conversion may have it
        return None


def run_node(node: NodeProto, feeds: dict[str, Array], opset: int) -> list[Array]:
    """Run one node by ONNX's reference implementation, and return its outputs."""
    inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    proto = helper.make_graph([node], "one node", inputs, outputs)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)])
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]


def _foldable(node: NodeProto) -> bool:
    if "Sequence" in node.op_type or "Optional" in node.op_type:
        return False  # what they hold is worked out by name: see `sequences`
    has_body = any(item.type in (item.GRAPH, item.GRAPHS) for item in node.attribute)
    return not node.domain and node.op_type not in RANDOM and not has_body and all(node.output)


def fold_indexed_shapes(graph: Graph) -> bool:
    """Replace ``Gather(Shape(x), i)`` in place by a constant where that axis of x is known.

    A batch axis of any length keeps `Shape` from being constant, although the other axes are.

    Returns
    -------
    bool
        Whether there was such a node.
    """
    kept = []
    for node in graph.nodes:
        with about(node):
            value = _indexed_shape(node, graph)
        if value is None:
            kept.append(node)
        else:
            graph.constants[node.output[0]] = value
    changed = len(kept) < len(graph.nodes)
    graph.nodes = kept
    return changed


def _indexed_shape(node: NodeProto, graph: Graph) -> Array | None:
    if node.op_type != "Gather" or node.domain:
        return None
    source = graph.maker(node.input[0])
    if source is None or source.op_type != "Shape" or source.domain:
        return None
    index, shape = graph.constant(node, 1), graph.shape(source.input[0])
    if index is None or shape is None:
        return None
    attrs = attributes(source)
    dims = shape[attrs.get("start", 0) : attrs.get("end", None)]
    picked = [dims[int(i)] for i in index.reshape(-1)]
    known = [n for n in picked if n is not None]
    return np.asarray(known, dtype=np.int64).reshape(index.shape) if len(known) == len(picked) else None
