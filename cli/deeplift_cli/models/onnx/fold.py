"""Working out, once and for all, what does not depend on the input."""

from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import RANDOM, Array, Graph, attributes, has_input
from deeplift_cli.models.onnx.room import estimate


def fold_constants(graph: Graph) -> None:
    """Evaluate, in place, each node whose inputs are all constant, and each `Shape` of a known shape."""
    kept = []
    for node in graph.nodes:
        with about(node):
            values = _shape_values(node, graph) or evaluate(node, graph)
        if values is None:
            kept.append(node)
        else:
            graph.constants.update(zip(node.output, values, strict=True))
    graph.nodes = kept


def _shape_values(node: Any, graph: Graph) -> list[Array] | None:
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


def evaluate(node: Any, graph: Graph) -> list[Array] | None:
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
    inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    proto = helper.make_graph([node], "one node", inputs, outputs)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", graph.opset)])
    try:
        return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the reference implementation lacks it: onnx2torch may have it
        return None


def _foldable(node: Any) -> bool:
    if "Sequence" in node.op_type or "Optional" in node.op_type:
        return False  # what they hold is worked out by name: see `sequences`
    has_body = any(item.type in (item.GRAPH, item.GRAPHS) for item in node.attribute)
    return not node.domain and node.op_type not in RANDOM and not has_body and all(node.output)


def fold_indexed_shapes(graph: Graph) -> None:
    """Replace ``Gather(Shape(x), i)`` in place by a constant where that axis of x is known.

    A batch axis of any length keeps `Shape` from being constant, although the other axes are.
    """
    producers = {node.output[0]: node for node in graph.nodes if node.op_type == "Shape" and not node.domain}
    kept = []
    for node in graph.nodes:
        with about(node):
            value = _indexed_shape(node, producers, graph)
        if value is None:
            kept.append(node)
        else:
            graph.constants[node.output[0]] = value
    graph.nodes = kept


def _indexed_shape(node: Any, producers: dict[str, Any], graph: Graph) -> Array | None:
    if node.op_type != "Gather" or node.domain or node.input[0] not in producers:
        return None
    index = graph.constant(node, 1)
    source = producers[node.input[0]]
    shape = graph.shape(source.input[0])
    if index is None or shape is None:
        return None
    attrs = attributes(source)
    dims = shape[attrs.get("start", 0) : attrs.get("end", None)]
    picked = [dims[int(i)] for i in index.reshape(-1)]
    known = [n for n in picked if n is not None]
    return np.asarray(known, dtype=np.int64).reshape(index.shape) if len(known) == len(picked) else None
