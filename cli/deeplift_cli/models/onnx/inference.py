"""Inferring shapes with ONNX's own inference, in memory and time that the values' sizes do not decide.

ONNX follows the small values that shapes are computed from ("data propagation"), and writes down an entry for
each element of any tensor with one axis that goes through such an operator: a constant of a billion elements,
or shapes that are concatenated with themselves again and again, would take all memory. Here an operator
follows values only once the shapes of its inputs are known to be small.
"""

from collections.abc import Callable, Iterable, Sequence

from onnx import (
    GraphProto,
    NodeProto,
    OperatorSetIdProto,
    ValueInfoProto,
    defs,
    helper,
    shape_inference,
)

Shape = tuple[int | None, ...]

# Operators that make a tensor with a shape, and which of their inputs that shape is; the most axes that numpy
# and torch take.
AXES = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1}
MOST_AXES = 64

# Elements of a tensor with one axis up to which values are followed.
_SMALL = 1 << 14
# Each run tells more shapes, so that more operators may follow values.
_MOST_RUNS = 30
# Operators of the same shapes and types that follow no values.
_LIKE = {"Add": "Div", "Mul": "Div", "Sub": "Div"}
_HIDDEN = "operators that follow no values"
_FOLLOWING = {
    schema.name for schema in defs.get_all_schemas_with_history() if schema.has_data_propagation_function
}


def infer(
    graph: GraphProto,
    opsets: Sequence[OperatorSetIdProto],
    shape_of: Callable[[str], Shape | None],
    learn: Callable[[Iterable[ValueInfoProto]], None],
) -> None:
    """Infer the shapes of a graph.

    Parameters
    ----------
    graph : onnx.GraphProto
        The graph with declared inputs, outputs, and constants or their declarations.
    opsets : sequence of onnx.OperatorSetIdProto
    shape_of : callable
        The shape of a value by its name, as far as known; None where not even the rank is.
    learn : callable
        Takes the `onnx.ValueInfoProto` of each run. `shape_of` has to know them from then on.
    """
    before: set[int] | None = None
    for _ in range(_MOST_RUNS):
        if _hidden(graph, shape_of):
            found = _run(graph, opsets, _of_many_axes(graph, shape_of), follow=False)
            learn(value for value in found if shape_of(value.name) is None)
        hidden = _hidden(graph, shape_of) | _of_many_axes(graph, shape_of)
        if hidden == before:
            return
        learn(_run(graph, opsets, hidden, follow=True))
        if not hidden:
            return
        before = hidden


def _hidden(graph: GraphProto, shape_of: Callable[[str], Shape | None]) -> set[int]:
    """The places of operators that must not follow values yet."""
    return {place for place, node in enumerate(graph.node) if _may_be_large(node, shape_of)}


def _of_many_axes(graph: GraphProto, shape_of: Callable[[str], Shape | None]) -> set[int]:
    """The places of operators whose result may have too many axes: as many as a shape has elements."""
    found = set()
    for place, node in enumerate(graph.node):
        if node.op_type == "ConstantOfShape" and not node.domain and node.input:
            shape = shape_of(node.input[0])
            length = shape[0] if shape is not None and len(shape) == 1 else None
            if length is None or length > MOST_AXES:
                found.add(place)
    return found


def _may_be_large(node: NodeProto, shape_of: Callable[[str], Shape | None]) -> bool:
    """Return whether an operator that follows values could have to follow many."""
    if node.op_type not in _FOLLOWING or node.domain or node.op_type in ("Shape", "Size"):
        return False
    total = 0
    for name in node.input:
        shape = shape_of(name) if name else ()
        if shape is None:
            return True
        if len(shape) == 1:
            total += _SMALL if shape[0] is None else shape[0]
    return total > _SMALL


def _run(
    graph: GraphProto, opsets: Sequence[OperatorSetIdProto], hidden: set[int], *, follow: bool
) -> Iterable[ValueInfoProto]:
    """Infer one time, the hidden operators left out; values are followed where `follow` says so."""
    shown = GraphProto()
    shown.CopyFrom(graph)
    for place in hidden:
        node = shown.node[place]
        node.op_type, node.domain = _LIKE.get(node.op_type, node.op_type), ""
        if graph.node[place].op_type not in _LIKE:
            node.domain = _HIDDEN
    model = helper.make_model(shown, opset_imports=[*opsets, helper.make_opsetid(_HIDDEN, 1)])
    inferred = shape_inference.infer_shapes(model, data_prop=follow)
    return tuple(inferred.graph.value_info)
