"""The recorded graph: a flat list of ATen calls, in the order in which the model ran them.

A graph is immutable data. :mod:`deeplift_core.capture` records graphs, and :mod:`deeplift_core.rules` says
how multipliers pass each call.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike

import torch
from torch import Tensor

from deeplift_core.graph.files import loaded_fields, save_fields
from deeplift_core.graph.node import Node, Value, call, converted_node, tensors_in
from deeplift_core.graph.text import lines

# The nodes of all tensors that one call of a module returned, in order; None for a constant tensor.
ModuleCall = tuple[int | None, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Calls of a model on one batch of K rows.

    Attributes
    ----------
    nodes : tuple of Node
        Each refers to earlier nodes only.
    inputs : tuple of int
        The nodes of the model's inputs [K, ...].
    of_model : int
        The number of nodes of the model itself; the nodes of a target come after these.
    device : torch.device
        Where the model was recorded.
    module_calls : mapping of str to tuple of ModuleCall
        For each module by its qualified name, its calls whose output depends on the input, in order.
    draws : tuple of str
        Calls that drew random numbers, each with its place in the model.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    of_model: int
    device: torch.device
    module_calls: Mapping[str, tuple[ModuleCall, ...]] = field(default_factory=dict)
    draws: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for each node: name, operation, arguments, shape, dtype, module and source."""
        return "\n".join(lines(self.nodes))

    @property
    def batch_size(self) -> int:
        """K, the number of rows of every input."""
        return self.nodes[self.inputs[0]].shape[0]

    @cached_property
    def constants(self) -> tuple[Tensor, ...]:
        """Every tensor among the arguments, weights above all, without repetitions."""
        found = {id(t): t for node in self.nodes for t in tensors_in((node.args, node.kwargs))}
        return tuple(found.values())

    @cached_property
    def consumers(self) -> dict[int, list[Node]]:
        """The model's own nodes that read each node, without those that a target added."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes[: self.of_model]:
            for ref in node.refs:
                found.setdefault(ref, []).append(node)
        return found

    def ancestors(self, *indices: int) -> list[int]:
        """Return the nodes that ``indices`` depend on, ``indices`` included, in graph order."""
        seen: set[int] = set()
        stack = list(indices)
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                stack.extend(self.nodes[index].refs)
        return sorted(seen)

    def converted(self, dtype: torch.dtype, start: int = 0) -> "Graph":
        """Return a graph of the same calls in another precision.

        Parameters
        ----------
        dtype : torch.dtype
            The floating precision of the new graph.
        start : int
            The nodes before this place stay as they are.
        """
        known: dict[int, tuple[Tensor, Tensor]] = {}
        changed = (converted_node(node, dtype, known) for node in self.nodes[start:])
        return replace(self, nodes=(*self.nodes[:start], *changed))

    def run(self, inputs: Sequence[Tensor], wanted: Sequence[int], keep: Collection[int]) -> dict[int, Value]:
        """Return the forward values of the nodes in ``keep`` and ``wanted``.

        Only the ancestors of ``wanted`` are computed, and a value is freed after its last use.

        Parameters
        ----------
        inputs : sequence of Tensor [K, ...]
            One for each input of the model.
        wanted : sequence of int
            Nodes to compute.
        keep : collection of int
            Further nodes on the way whose values are returned.
        """
        order = self.ancestors(*wanted)
        kept = set(keep) | set(wanted)
        last_use = {ref: index for index in order for ref in self.nodes[index].refs}
        values: dict[int, Value] = dict(zip(self.inputs, inputs, strict=True))
        for index in order:
            node = self.nodes[index]
            if node.op is not None:
                values[index] = call(node, values.__getitem__)
            for ref in node.refs:
                if last_use[ref] == index and ref not in kept:
                    del values[ref]
        return values

    def save(self, path: str | PathLike[str]) -> None:
        """Write the graph to a file that ``torch.load(path, weights_only=True)`` reads.

        Parameters
        ----------
        path : path-like
            The file; one that exists is overwritten.

        Raises
        ------
        OptionError
            If an argument is of a kind that cannot be written.
        """
        save_fields(path, self.nodes, self.inputs, self.of_model, self.device, self.module_calls, self.draws)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Graph":
        """Read a graph that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file. No code in it is run.

        Raises
        ------
        OptionError
            If the file holds no graph, or a graph with operations that are not registered here.
        """
        return cls(*loaded_fields(path))
