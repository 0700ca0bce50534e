"""A recording with fewer rows: what a few pairs are scored by would otherwise be filled up to K."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph.graph import Graph, Node, tensors_in


def with_constants_of(recorded: Graph, again: Graph) -> Graph | None:
    """``again``, a recording of the same model with fewer rows, with the constants of ``recorded``.

    The model's parameters may have changed since; only constants whose shape goes with the number of rows,
    like the first state of a recurrent layer, are its own.

    Returns
    -------
    Graph or None
        None where the model made other calls this time, or has parameters of another shape.
    """
    own = recorded.nodes[: recorded.of_model]
    rows = recorded.batch_size, again.batch_size
    if len(own) != len(again.nodes):
        return None
    if not all(_same_call(*nodes, rows) for nodes in zip(own, again.nodes, strict=True)):
        return None
    return replace(again, nodes=[_merged_node(*nodes) for nodes in zip(own, again.nodes, strict=True)])


def _same_call(node: Node, other: Node, rows: tuple[int, int]) -> bool:
    constants, others = (tensors_in((one.args, one.kwargs)) for one in (node, other))
    return (
        node.called == other.called
        and node.refs == other.refs
        and len(constants) == len(others)
        and _with_rows(node.shape, other.shape, rows)
        and all(_with_rows(one.shape, two.shape, rows) for one, two in zip(constants, others, strict=True))
    )


def _with_rows(shape: torch.Size, other: torch.Size, rows: tuple[int, int]) -> bool:
    """Whether every axis has the same length, or one that goes with the number of rows."""
    of_all, of_few = rows
    return len(shape) == len(other) and all(
        length in (few, few * of_all / of_few) for length, few in zip(shape, other, strict=True)
    )


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
