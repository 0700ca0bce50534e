"""Refusing tensors of a great many axes, whose shapes alone would take all memory in ONNX's inference.

The length of a shape is the number of axes of what is made with it. ONNX's inference writes down an entry of
some hundred bytes for each axis, wherever that length is known, so that a file of one kilobyte that asks for
a shape of a billion numbers would take hundreds of gigabytes.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx.graph import bodies_of
from deeplift_cli.models.onnx.inference import AXES, MOST_AXES, Shape, infer

# Constants up to so many elements may be the arguments of operators on shapes.
_SMALL = 64


def require_few_axes(path: Path, model: ModelProto) -> bool:
    """Refuse a model that makes a tensor of more axes than torch and numpy take.

    Parameters
    ----------
    path : pathlib.Path
    model : onnx.ModelProto

    Returns
    -------
    bool
        Whether the number of axes of all that is made with a shape is known to be small; if not, ONNX's
        inference must not be run on the model as it is.

    Raises
    ------
    UserError
    """
    parts = [model.graph.node, *(function.node for function in model.functions)]
    bodies = [body for nodes in parts for body in _bodies(nodes)]
    others = [(body.node, body.initializer) for body in bodies]
    others += [(function.node, ()) for function in model.functions]
    inner = [_few_axes(path, nodes, constants) for nodes, constants in others]  # each may raise
    if _few_axes(path, model.graph.node, model.graph.initializer):
        return all(inner)
    return _few_axes(path, model.graph.node, model.graph.initializer, _inferred(model)) and all(inner)


def _few_axes(
    path: Path,
    nodes: Iterable[NodeProto],
    constants: Iterable[TensorProto],
    known: dict[str, Shape | None] | None = None,
) -> bool:
    """Look at the shapes that nodes of one graph take; False where the length of one is not known."""
    nodes = list(nodes)
    lengths = {
        name: shape[0] for name, shape in (known or {}).items() if shape is not None and len(shape) == 1
    }
    lengths.update((tensor.name, tensor.dims[0]) for tensor in constants if len(tensor.dims) == 1)
    lengths.update(_of_constant_nodes(nodes))
    whole = True
    for node in nodes:
        place = AXES.get(node.op_type)
        if node.domain or place is None or len(node.input) <= place:
            continue
        length = lengths.get(node.input[place])
        if length is not None and length > MOST_AXES:
            raise UserError(
                f"{path}: node {node.name} ({node.op_type}) makes a tensor of {length:,} axes; at most "
                f"{MOST_AXES} can be converted"
            )
        # All others follow a shape that is no constant by its numbers, which are limited themselves.
        whole = whole and (length is not None or node.op_type != "ConstantOfShape")
    return whole


def _of_constant_nodes(nodes: Iterable[NodeProto]) -> dict[str, int]:
    found = {}
    for node in nodes:
        for item in node.attribute if node.op_type == "Constant" and node.output else ():
            if item.name == "value" and len(item.t.dims) == 1:
                found[node.output[0]] = item.t.dims[0]
            elif item.name == "value_ints":
                found[node.output[0]] = len(item.ints)
    return found


def _inferred(model: ModelProto) -> dict[str, Shape | None]:
    """The shapes of the values of a model's graph, as far as they can be inferred safely."""
    shapes: dict[str, Shape | None] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    small = [tensor for tensor in model.graph.initializer if math.prod(tensor.dims) <= _SMALL]
    kept = {tensor.name for tensor in small}
    graph = GraphProto(name="shapes")
    graph.node.extend(model.graph.node)
    graph.input.extend(value for value in model.graph.input if value.name not in shapes)
    graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.name not in kept
    )
    graph.initializer.extend(small)

    def learn(found: Iterable[ValueInfoProto]) -> None:
        for value in found:
            tensor = value.type.tensor_type
            if tensor.HasField("shape"):
                dims = tensor.shape.dim
                shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)

    learn(graph.input)
    infer(graph, list(model.opset_import), shapes.get, learn)
    return shapes


def _bodies(nodes: Iterable[NodeProto]) -> Iterable[GraphProto]:
    """All bodies of control flow, those inside others included."""
    for node in nodes:
        for body in bodies_of(node):
            yield body
            yield from _bodies(body.node)
