"""Outputs without float32's rounding at the end: the last few operations of a forward pass, in float64.

The output of a sequence and that of its reference often differ by a hundredth of their size. A mean over
positions and a dense layer of some outputs round that difference by more than all that comes before does to
the contributions, and summation-to-delta would miss by it. They are few numbers, and cost next to nothing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.kernels import TOTALS
from deeplift_core.graph import Graph, Node, converted, converted_node
from deeplift_core.graph.operations import RESULT

# Numbers for each row that may come out of such an operation, and weights that it may have.
_FEW, _FEW_WEIGHTS = 1 << 12, 1 << 20


def with_exact_ends(graph: Graph, wanted: Sequence[int], keep: Collection[int]) -> Graph:
    """The same graph, with float64 in the small operations that nothing but ``wanted`` depends on.

    Parameters
    ----------
    graph : Graph
    wanted : sequence of int
        Nodes of outputs.
    keep : collection of int
        Nodes whose values the reverse walk reads: they, and all before them, stay as they are.
    """
    if graph.device.type == "mps":  # which has no float64
        return graph
    order = graph.ancestors(*wanted)
    exact: set[int] = set()
    read_in_float32 = set(keep)
    for index in reversed(order):
        node = graph.nodes[index]
        if index not in read_in_float32 and _is_small(node):
            exact.add(index)
        else:
            read_in_float32.update(node.refs)
    nodes = tuple(_in_float64(node) if node.index in exact else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _is_small(node: Node) -> bool:
    weights = sum(arg.numel() for arg in node.args if isinstance(arg, Tensor))
    numbers = node.shape[1:].numel()
    return node.op is not None and node.dtype == torch.float32 and numbers <= _FEW and weights <= _FEW_WEIGHTS


def _in_float64(node: Node) -> Node:
    assert node.op is not None
    if node.op is RESULT:
        return replace(node, dtype=torch.float64)
    if node.op in TOTALS:
        return replace(node, kwargs={**node.kwargs, "dtype": torch.float64})
    return replace(converted_node(node, torch.float64), op=_of_doubles(node.op))


def _of_doubles(op: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*args: Any, **kwargs: Any) -> Any:
        return op(*converted(args, torch.float64), **kwargs)

    return computed
