"""Find which forward values backward passes read, by running each pass one time on values that are 0.

The values take no memory, since each is a single 0 expanded to its node's shape, and what a rule reads does
not depend on them. No rule therefore has to declare what it reads.
"""

from collections.abc import Collection, Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.engine.backward import backward_pass
from deeplift_core.graph import Graph
from deeplift_core.rules.values import PairValues


def with_kept(plan: Plan) -> Plan:
    """Return the plan with the nodes whose forward values its backward passes read."""
    kept = {*plan.layers}
    for target in plan.targets:
        kept |= values_read(plan, target, plan.layers)
    return replace(plan, kept=frozenset(kept))


def values_read(plan: Plan, target: int, layers: Collection[int]) -> set[int]:
    """Return the nodes whose forward values the backward pass from one target reads."""
    read: set[int] = set()
    dtype = plan.graph.nodes[plan.graph.inputs[0]].dtype
    values = PairValues(_Zeros(plan.graph, read), _Zeros(plan.graph, read), plan.rules.__getitem__, dtype)
    with torch.no_grad():
        backward_pass(plan, target, layers, values)
    return read


class _Zeros(MutableMapping[int, Any]):
    """Forward values that are 0 everywhere. Each is made when a rule reads it, and its node is noted."""

    def __init__(self, graph: Graph, read: set[int]) -> None:
        self._graph = graph
        self._read = read
        self._made: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        self._read.add(index)
        if index not in self._made:
            node = self._graph.nodes[index]
            results = node.results
            zeros = tuple(None if spec is None else self._zeros(*spec) for spec in results)
            self._made[index] = zeros if results else self._zeros(node.shape, node.dtype)
        return self._made[index]

    def _zeros(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return torch.zeros((), dtype=dtype, device=self._graph.device).expand(shape)

    def __setitem__(self, index: int, value: Any) -> None:
        self._made[index] = value

    def __delitem__(self, index: int) -> None:
        self._made.pop(index, None)

    def pop(self, index: int, default: Any = None) -> Any:
        """Free a value without reading it."""
        return self._made.pop(index, default)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._graph.nodes)))

    def __len__(self) -> int:
        return len(self._graph.nodes)
