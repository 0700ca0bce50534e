"""A plan: the rule of every node that a backward pass reaches, and the calls of forward passes."""

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from deeplift_core.graph import Graph
from deeplift_core.graph.operations import RESULT
from deeplift_core.rules.rule import Rule


class Call(NamedTuple):
    """A call that a forward pass runs in place of a node's operation, with the same result.

    Attributes
    ----------
    function : callable
    args, kwargs
        Arguments like those of a node: a ``Ref`` stands for the value of another node.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Plan:
    """The computation of scores for some targets; complete when made, never changed, and shared by threads.

    Attributes
    ----------
    graph : Graph
        The model's recording, with the nodes of the targets after the model's own.
    rules : mapping of int to Rule
        The rule of every node that the backward pass from a target reaches.
    targets : tuple of int
        Nodes [K], each an explained scalar.
    predictions : tuple of int
        The node, for each target, of the same element of the model's own output.
    layers : tuple of int
        The nodes that get scores: the inputs, or a layer inside.
    calls : mapping of int to Call
        Calls that forward passes run in place of nodes' operations, by node; passes add these calls.
    kept : frozenset of int
        Nodes whose forward values backward passes read; found by :mod:`deeplift_core.engine.reads`.
    """

    graph: Graph
    rules: Mapping[int, Rule]
    targets: tuple[int, ...]
    predictions: tuple[int, ...]
    layers: tuple[int, ...]
    calls: Mapping[int, Call] = field(default_factory=dict)
    kept: frozenset[int] = frozenset()

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the scores: that of the inputs."""
        return self.graph.nodes[self.graph.inputs[0]].dtype

    @property
    def wanted(self) -> tuple[int, ...]:
        """Nodes whose values a forward pass is run for: targets and predictions, in graph order."""
        return tuple(sorted({*self.targets, *self.predictions}))

    def with_rules(self, rules: Mapping[int, Rule], calls: Mapping[int, Call] | None = None) -> "Plan":
        """Return the same plan with other rules for some nodes, and with these calls, too."""
        return replace(self, rules={**self.rules, **rules}, calls={**self.calls, **(calls or {})})

    def with_calls(self, calls: Mapping[int, Call]) -> "Plan":
        """Return the same plan with these calls in place of nodes' own operations."""
        return replace(self, calls={**self.calls, **calls})

    def call_of(self, index: int) -> Call:
        """Return the call that a forward pass runs for one node."""
        if index in self.calls:
            return self.calls[index]
        node = self.graph.nodes[index]
        assert node.op is not None, f"{node.name} is an input and has nothing to run"
        function = operator.getitem if node.op is RESULT else node.op  # saves a call through torch
        return Call(function, node.args, node.kwargs)

    def reached(self, target: int, layers: Collection[int] | None = None) -> list[int]:
        """Return the nodes that the backward pass from ``target`` visits, last first."""
        pending, visited = {target}, []
        ends = self.layers if layers is None else layers
        # Sources come before a node in the graph, so that one sweep from the end visits each node after all
        # nodes that send multipliers to it. Nodes before the first end lead to none of the ends.
        for index in range(target, min(ends, default=0) - 1, -1):
            if index in pending:
                visited.append(index)
                if index not in ends:
                    pending.update(self.rules[index].sources)
        return visited
