"""A recording with fewer rows: a few pairs that are scored by themselves need not be filled up to K rows."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, tensors_in

# Rows of a recording for pairs that come one or a few at a time.
FEW_ROWS = 4


def with_constants_of(recorded: Graph, again: Graph) -> Graph | None:
    """``again``, a recording of the same model with fewer rows, that shares the constants of ``recorded``.

    Constants of equal content are shared. Others depend on the number of rows, like the first state of a
    recurrent layer, and stay.

    Parameters
    ----------
    recorded, again : Graph
        Recordings of one model with more and with fewer rows.

    Returns
    -------
    Graph or None
        None where the model made other calls, or calls with other constants, for fewer rows.
    """
    rows = recorded.batch_size, again.batch_size
    if len(recorded.nodes) != len(again.nodes):
        return None
    if not all(_same_call(*nodes, rows) for nodes in zip(recorded.nodes, again.nodes, strict=True)):
        return None
    nodes = tuple(_merged_node(*nodes) for nodes in zip(recorded.nodes, again.nodes, strict=True))
    return replace(again, nodes=nodes)


def _same_call(node: Node, other: Node, rows: tuple[int, int]) -> bool:
    constants, others = (tensors_in((one.args, one.kwargs)) for one in (node, other))
    return (
        node.op == other.op
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
    """Nested arguments of the second recording, with tensors of the first where these are equal."""
    if isinstance(recorded, Tensor) and isinstance(again, Tensor):
        return recorded if _equal(recorded, again) else again
    if (
        isinstance(again, (tuple, list))
        and isinstance(recorded, (tuple, list))
        and len(recorded) == len(again)
    ):
        return type(again)(map(_merged, recorded, again))
    return again


def _equal(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.dtype == other.dtype and torch.equal(one, other))
