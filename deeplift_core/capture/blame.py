"""Find the operation at which a recording and its model begin to differ, and word the error messages."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.agreement import relative_error
from deeplift_core.capture.other_rows import Rows
from deeplift_core.graph import Graph, Node, call

# This is far above rounding errors and far below the differences between values of different rows.
_DIFFERENT = 1e-3
# Two computations of one constant may differ by this much, relative to the largest value.
_ROUNDING = 1e-6
# These operations bring another axis to the front and mix no rows.
_MOVES_AXES = {"permute", "transpose", "t"}


def first_lost(graph: Graph, output: int, again: Graph) -> Node | None:
    """Return the first call that differs in a recording on other rows, in its operation or in a constant.

    Parameters
    ----------
    graph, again : Graph
        Recordings of one model on different rows. The second may have fewer rows; a length that is
        proportional to the number of rows is no difference.
    output : int
        The node whose value must be right.

    Returns
    -------
    Node or None
        The node of ``graph``; None where the two recordings are the same.
    """
    rows = graph.batch_size, again.batch_size
    for index in graph.ancestors(output):
        node = graph.nodes[index]
        other = again.nodes[index] if index < len(again.nodes) else None
        if other is None or not _same_call(node, other, rows):
            return node
    return None


def _same_call(node: Node, other: Node, rows: tuple[int, int]) -> bool:
    return node.op == other.op and _same((node.args, node.kwargs), (other.args, other.kwargs), rows)


def _same(value: Any, other: Any, rows: tuple[int, int]) -> bool:
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return _same_constant(value, other, rows)
    if isinstance(value, (tuple, list)) and isinstance(other, (tuple, list)):
        pairs = zip(value, other, strict=False)
        return len(value) == len(other) and all(_same(one, two, rows) for one, two in pairs)
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key], rows) for key in value)
    if isinstance(value, int) and isinstance(other, int) and value != other:
        of_all, of_few = rows
        return value * of_few == other * of_all
    if isinstance(value, torch.ScriptObject) and isinstance(other, torch.ScriptObject):
        return True  # packed weights of a quantised layer, for instance, which torch cannot compare
    return type(value) is type(other) and (value == other or value != value)


def _same_constant(value: Tensor, other: Tensor, rows: tuple[int, int]) -> bool:
    """Return whether two constants are equal, up to rounding, in the rows that both have."""
    if value is other:
        return True
    if value.dim() != other.dim() or value.dtype != other.dtype:
        return False
    for axis, (length, few) in enumerate(zip(value.shape, other.shape, strict=True)):
        if length != few:
            if length * rows[1] != few * rows[0]:
                return False
            value = value.narrow(axis, 0, few)
    return relative_error(value, other) <= _ROUNDING


def first_mixing(graph: Graph, output: int, rows: Rows, example: Sequence[Tensor]) -> Node:
    """Return the first call that gives a row another value if other rows surround it.

    Parameters
    ----------
    graph : Graph
        The recording.
    output : int
        A node whose rows depend on each other.
    rows : Rows
        Two batches with common rows.
    example : sequence of Tensor [K, ...]
        The batch that has a row in common with the second one.
    """
    beside_example = rows._replace(first=tuple(example), in_first=rows.in_example, in_second=rows.beside)
    found = (_first_mixing(graph, output, batches) for batches in (rows, beside_example))
    return next(filter(None, found), graph.nodes[output])


def _first_mixing(graph: Graph, output: int, rows: Rows) -> Node | None:
    order = graph.ancestors(output)
    last_use = {ref: index for index in order for ref in graph.nodes[index].refs}
    by_rows: set[int] = set()  # nodes whose first axis is that of the rows
    first, second = (dict(zip(graph.inputs, batch, strict=True)) for batch in (rows.first, rows.second))
    for index in order:
        node = graph.nodes[index]
        if node.op is not None:
            for values in (first, second):
                values[index] = call(node, values.__getitem__)
        same = _same_rows(first[index], second[index], rows, graph.batch_size)
        if same:
            by_rows.add(index)
        # An axis whose length is a multiple of K need not hold the rows, unless the node reads an axis of
        # rows.
        known = node.shape[:1] == (graph.batch_size,) or not by_rows.isdisjoint(node.refs)
        if same is False and known and node.op_name not in _MOVES_AXES:
            return node
        for ref in node.refs:
            if last_use[ref] == index:
                del first[ref], second[ref]
    return None


def _same_rows(first: Any, second: Any, rows: Rows, count: int) -> bool | None:
    """Return whether common rows have the same values; None where the value has no axis of rows."""
    if not isinstance(first, Tensor) or first.shape != second.shape:
        return None
    if not first.dim() or len(first) % count or not first.numel():
        return None
    one, other = (value.reshape(count, -1) for value in (first, second))
    return relative_error(one[rows.in_first], other[rows.in_second]) <= _DIFFERENT


def first_failing(graph: Graph, outputs: Sequence[int], batch: Sequence[Tensor]) -> Node:
    """Return the first call that does not run on this batch."""
    values: dict[int, Any] = dict(zip(graph.inputs, batch, strict=True))
    for index in graph.ancestors(*outputs):
        node = graph.nodes[index]
        if node.op is not None:
            try:
                values[index] = call(node, values.__getitem__)
            except Exception:  # noqa: BLE001 - whatever the operation raises
                return node
    return graph.nodes[outputs[0]]


def fails(node: Node, error: Exception) -> str:
    """Return the message for a call that runs on the example only."""
    return (
        f"{node.describe()} runs on the example, but not on other rows of its shape ({error}): a shape or a "
        "position may depend on the values of the input, such as the number of elements that a mask picks; "
        "use torch.where or multiply with the mask"
    )


def lost(node: Node, output: Node) -> str:
    """Return the message for a value that became a constant of the recording."""
    return (
        f"a value that depends on the input left torch's sight before {node.describe()}: work in another "
        "thread, a copy through Python (copy, pickle, torch.save, nn.Parameter), numpy, dlpack, storage, "
        "random numbers of Python or numpy, or something kept from an earlier call. Other sequences would be "
        f"scored with that value of the example, up to {output.describe()}; write it with tensor operations "
        "on the calling thread"
    )


def other_function(output: Node, error: float) -> str:
    """Return the message for a recording that computes other values, although both make the same calls."""
    return (
        f"for other rows than the example's, the recording of the model up to {output.describe()} gives "
        f"other values than the model does (off by {error:.1e} of the largest): the model may keep something "
        "from one call to the next, or read values of the input in a way that torch does not see; write it "
        "with tensor operations on the calling thread"
    )


def mixed(node: Node) -> str:
    """Return the message for rows that depend on each other."""
    return (
        f"rows of one batch mix in {node.describe()}: there a row has another value among other rows, so "
        "that no row has contributions of its own. Compute every row from itself alone: no statistics, "
        "order, attention, shift or index along the batch (axis 0)"
    )


def counted(output: Node, few: int, many: int) -> str:
    """Return the message for a model that gives the same rows other values if the batch has fewer rows."""
    return (
        f"the model gives {few} rows other values by themselves than in a batch of {many} rows, up to "
        f"{output.describe()}: scores would depend on the number of rows. Compute every row from itself: "
        "no number of rows (len(x), x.shape[0]) among the values, and no average over the batch"
    )
