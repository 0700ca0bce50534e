"""Estimate the rounding error of a node's value from runs of the graph with other roundings.

A single run in another precision may come out near the value by chance, above all where the value is a single
number or a difference that nearly cancels. The graph therefore also runs some times with every number moved
by one unit of rounding, up or down at random (Monte Carlo arithmetic: Parker, 1997).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from deeplift_core.graph import Graph, Node, change_constants, tensors_in
from deeplift_core.graph.operations import RESULT

# One run shows less than a tenth of the usual difference in 8 of 100 cases. In all of eight runs this happens
# in 2 of a thousand million cases.
_RUNS = 8
# Some kernels have one precision only, and some fail on the moved numbers.
_FAILURES = (RuntimeError, NotImplementedError, TypeError, IndexError, ValueError)


def least_precise(graph: Graph, node: int) -> torch.dtype:
    """Return the least precise floating dtype among a node and its ancestors; float64 where there is none."""
    found = {graph.nodes[index].dtype for index in graph.ancestors(node)}
    floating = [dtype for dtype in found if dtype.is_floating_point]
    return max(floating, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)


def from_another_precision(graph: Graph, node: int, batch: Sequence[Tensor]) -> float:
    """Estimate the rounding error of a node's value from a run in float64, or in float32 for float64.

    Parameters
    ----------
    graph : Graph
    node : int
    batch : sequence of Tensor [K, ...]
        The rows on which the graph runs, one batch for each input.

    Returns
    -------
    float
        The largest difference, in the value's own unit; 0 if the graph runs in no other precision.
    """
    own = least_precise(graph, node)
    other = torch.float32 if own == torch.float64 else torch.float64
    inputs = [tensor.to(other) if tensor.is_floating_point() else tensor for tensor in batch]
    value = graph.run(batch, [node], ())[node]
    found = _difference(value, graph.converted(other), node, inputs)
    # Rounding errors are proportional to the unit of rounding, so that float32 shows those of float64.
    return found * torch.finfo(own).eps / torch.finfo(other).eps if own == torch.float64 else found


def from_moved_numbers(graph: Graph, node: int, batch: Sequence[Tensor]) -> float:
    """Estimate the rounding error of a node's value from runs with every number moved by one unit.

    Inputs, constants and all results move. Whole numbers stay, because they are exact as a rule: letters of
    one-hot rows, masks and counts.

    Parameters
    ----------
    graph : Graph
    node : int
    batch : sequence of Tensor [K, ...]
        The rows on which the graph runs, one batch for each input.

    Returns
    -------
    float
        The largest difference in all runs, in the value's own unit; 0 if the graph fails on such numbers.
    """
    generator = torch.Generator().manual_seed(0)
    value = graph.run(batch, [node], ())[node]
    found = 0.0
    for _ in range(_RUNS):
        moves = _Moves(generator)
        other = replace(graph, nodes=tuple(map(moves.node, graph.nodes)))
        found = max(found, _difference(value, other, node, [moves.moved(tensor) for tensor in batch]))
    return found


def _difference(value: Tensor, graph: Graph, node: int, inputs: Sequence[Tensor]) -> float:
    """Return the largest finite difference between a value and that of another graph; 0 if that fails."""
    try:
        other = graph.run(inputs, [node], ())[node]
    except _FAILURES:
        return 0.0
    # Not every device has float64.
    one, two = (tensor.detach().cpu().to(_wide(tensor)) for tensor in (value, other))
    differences = (one - two).abs()
    finite = differences[differences.isfinite()]
    return float(finite.max()) if len(finite) else 0.0


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.complex128 if tensor.is_complex() else torch.float64


class _Moves:
    """Moves numbers by one unit of rounding, and a constant of several calls the same way in all of them."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        # The entry holds the constant, so that no other tensor gets its identity.
        self._constants: dict[int, tuple[Tensor, Tensor]] = {}

    def node(self, node: Node) -> Node:
        """Return a call with moved constants whose results are moved."""
        if node.op is None or node.op is RESULT:
            return node
        args = change_constants(node.args, self._constant)
        kwargs = {name: change_constants(value, self._constant) for name, value in node.kwargs.items()}
        return replace(node, op=self._with_moved_results(node.op), args=args, kwargs=kwargs)

    def moved(self, value: Any) -> Any:
        """Return a tensor of moved numbers; anything but a tensor of real or complex numbers is returned."""
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        if value.is_complex():
            return torch.view_as_complex(self.moved(torch.view_as_real(value.resolve_conj())))
        if not value.is_floating_point():
            return value
        unit = torch.finfo(value.dtype).eps
        sign = 2 * torch.randint(2, value.shape, generator=self._generator).to(value) - 1
        other = value * (1 + unit * sign)
        # Beyond 1 / unit, every number of this precision is whole.
        return torch.where((value == value.round()) & (value.abs() < 1 / unit), value, other)

    def _constant(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._constants:
            self._constants[id(value)] = value, self.moved(value)
        return self._constants[id(value)][1]

    def _with_moved_results(self, op: Callable[..., Any]) -> Callable[..., Any]:
        def moving(*args: Any, **kwargs: Any) -> Any:
            result = op(*args, **kwargs)
            given = {tensor.untyped_storage().data_ptr() for tensor in tensors_in((args, kwargs))}
            # A view of an argument computes nothing.
            views = any(tensor.untyped_storage().data_ptr() in given for tensor in tensors_in(result))
            return result if views else tree_map(self.moved, result)

        return moving
