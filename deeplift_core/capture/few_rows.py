"""A recording with few rows, so that a few pairs can be scored again without padding to K rows."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, tensors_in

# The number of rows of such a recording.
FEW_ROWS = 4


def with_constants_of(recorded: Graph, again: Graph) -> Graph | None:
    """Return the recording ``again``, with the constants of ``recorded`` in place of equal ones.

    Weights are then held in memory a single time. Constants that depend on the number of rows, like the first
    state of a recurrent layer, stay those of ``again``.

    Parameters
    ----------
    recorded, again : Graph
        Recordings of one model, the second with fewer rows.

    Returns
    -------
    Graph or None
        The value is None where the model makes other calls, or calls with constants of another shape, for
        fewer rows.
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
    """Return whether every axis has the same length, or one proportional to the number of rows."""
    of_all, of_few = rows
    return len(shape) == len(other) and all(
        length in (few, few * of_all / of_few) for length, few in zip(shape, other, strict=True)
    )


def _merged_node(recorded: Node, again: Node) -> Node:
    kwargs = {key: _merged(recorded.kwargs.get(key), value) for key, value in again.kwargs.items()}
    return replace(again, args=_merged(recorded.args, again.args), kwargs=kwargs)


def _merged(recorded: Any, again: Any) -> Any:
    """Return arguments of the second recording, with tensors of the first in place of equal ones."""
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
