"""A recording with fewer rows: what a few pairs are scored by would otherwise be filled up to K."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from deeplift_core.graph import Graph, Node


def with_constants_of(recorded: Graph, again: Graph) -> Graph | None:
    """``again``, a recording of the same model with fewer rows, with the constants of ``recorded``.

    The model's parameters may have changed since; only constants whose shape goes with the number of rows,
    like the first state of a recurrent layer, are its own.

    Returns
    -------
    Graph or None
        None where the model made other calls this time.
    """
    own = recorded.nodes[: recorded.of_model]
    if len(own) != len(again.nodes) or not all(map(_same_call, own, again.nodes)):
        return None
    return replace(again, nodes=[_merged_node(*nodes) for nodes in zip(own, again.nodes, strict=True)])


def _same_call(node: Node, other: Node) -> bool:
    return node.called == other.called and node.refs == other.refs


def _merged_node(recorded: Node, again: Node) -> Node:
    kwargs = {key: _merged(recorded.kwargs.get(key), value) for key, value in again.kwargs.items()}
    return replace(again, args=_merged(recorded.args, again.args), kwargs=kwargs)


def _merged(recorded: Any, again: Any) -> Any:
    """Nested arguments of the second, with the tensors of the first where they have the same shape."""
    if isinstance(recorded, Tensor) and isinstance(again, Tensor) and recorded.shape == again.shape:
        return recorded
    if (
        isinstance(again, (tuple, list))
        and isinstance(recorded, (tuple, list))
        and len(recorded) == len(again)
    ):
        return type(again)(map(_merged, recorded, again))
    return again
