"""A graph that is being recorded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from deeplift_core.graph.graph import Graph, ModuleCall
from deeplift_core.graph.node import Node, Ref, Value, recorded_node


class GraphBuilder:
    """Nodes that are appended one after the other, and the immutable graph of them at the end.

    Parameters
    ----------
    device : torch.device
        Where the calls run.
    extended : Graph, optional
        A graph to whose nodes the new nodes are appended. The graph itself does not change.

    Attributes
    ----------
    nodes : list of Node
        The nodes so far.
    inputs : list of int
        The nodes of the model's inputs.
    module_calls : dict of str to list of ModuleCall
        The calls of each module so far.
    draws : list of str
        Calls that drew random numbers, each with its place in the model.
    """

    def __init__(self, device: torch.device, extended: Graph | None = None) -> None:
        self._device = device
        self._extended = extended
        self.nodes: list[Node] = [] if extended is None else list(extended.nodes)
        self.inputs: list[int] = [] if extended is None else list(extended.inputs)
        self.module_calls: dict[str, list[ModuleCall]] = {}
        self.draws: list[str] = []

    def add_input(self, example: Value) -> Ref:
        """Append an input of the model."""
        ref = self.add(None, (), {}, example)
        self.inputs.append(ref.index)
        return ref

    def add(
        self,
        op: Callable[..., Any] | None,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        example: Value,
        *,
        module: str = "",
        source: str = "",
    ) -> Ref:
        """Append a call whose recorded result is ``example`` and return a reference to it."""
        index = len(self.nodes)
        node = recorded_node(index, op, args, dict(kwargs), example, module=module, source=source)
        self.nodes.append(node)
        return Ref(index)

    def graph(self) -> Graph:
        """Return the graph of all nodes; an extended graph keeps the model's own nodes and calls."""
        old = self._extended
        calls = {name: tuple(found) for name, found in self.module_calls.items()}
        return Graph(
            tuple(self.nodes),
            tuple(self.inputs),
            len(self.nodes) if old is None else old.of_model,
            self._device,
            calls if old is None else old.module_calls,
            tuple(self.draws) if old is None else old.draws,
        )
