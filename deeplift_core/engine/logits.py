"""The logit of a final sigmoid or softmax, which is explained in place of the output (paper, section 3.6)."""

import torch
from torch import Tensor

from deeplift_core.capture import record_function
from deeplift_core.capture.links import Link, final_link
from deeplift_core.engine.targets import example_of
from deeplift_core.graph import Graph, Node, call

# Operations that may stand between a final link and the output. They move values and add none together.
_MOVES_VALUES = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze", "slice", "select",
    "index", "index_select", "flip", "clone", "alias", "detach", "_to_copy",
}  # fmt: skip


def with_logit(graph: Graph, output: int, *, centre: bool) -> tuple[Graph, int]:
    """Return the node of the logit where ``output`` ends in a link, else ``output`` itself.

    A link is a sigmoid, a softmax, or the logarithm of either, however it is written.

    Parameters
    ----------
    graph : Graph
    output : int
        Node of the model's output.
    centre : bool
        True to subtract the mean over the softmax's own axis from its logits (paper, equation 5).

    Returns
    -------
    graph : Graph
        The given graph, with further nodes after its own if some are needed.
    node : int
    """
    link, moves = _link_behind(graph, output)
    if link is None:
        return graph, output
    axis = link.axis if centre else None
    if axis is None and link.sign == 1 and not moves:
        return graph, link.source

    def explained(logits: Tensor) -> Tensor:
        value = logits if link.sign == 1 else -logits
        if axis is not None:
            value = value - value.mean(axis, keepdim=True)
        return _moved(value, moves)

    return record_function(graph, link.source, example_of(graph, link.source), explained)


def softmax_axis(graph: Graph, output: int) -> int | None:
    """Return the axis of the output that holds all classes of a final softmax; None where there is none."""
    link, moves = _link_behind(graph, output)
    if link is None or link.axis is None:
        return None
    source = example_of(graph, link.source)
    classes = source.shape[link.axis]
    places = torch.arange(classes, device=source.device).to(source.dtype)
    moved = _moved(places.expand_as(source.movedim(link.axis, -1)).movedim(-1, link.axis), moves)
    for axis in range(1, moved.dim()):
        if moved.shape[axis] == classes and bool((moved != moved.narrow(axis, 0, 1)).any()):
            return axis
    return None


def _link_behind(graph: Graph, output: int) -> tuple[Link | None, list[Node]]:
    """Return the final link and the nodes that move its values, the last one first."""
    moves: list[Node] = []
    node = graph.nodes[output]
    while (link := final_link(graph, node)) is None:
        if node.op_name not in _MOVES_VALUES or len(node.refs) != 1:
            return None, moves
        moves.append(node)
        node = graph.nodes[node.refs[0]]
    return link, moves


def _moved(value: Tensor, moves: list[Node]) -> Tensor:
    for move in reversed(moves):
        value = call(move, {move.refs[0]: value}.__getitem__)
    return value
