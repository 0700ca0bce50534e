"""Partial evaluation of a graph: some of its inputs become constants, each row with a value of its own."""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from deeplift_core.graph.graph import Graph, ModuleCall
from deeplift_core.graph.node import Node, Ref, call


def with_constants(graph: Graph, values: Mapping[int, Tensor]) -> Graph:
    """Return the graph of the other inputs, with the values of some inputs among its constants.

    What depends on these inputs alone is computed here, once. The result is the graph that the recorder would
    make of a model in which these inputs are constants. Nodes keep their places: those that became constants
    stay in the graph, and no other node refers to them.

    Parameters
    ----------
    graph : Graph
    values : mapping of int to Tensor [K, ...]
        The value of each such input, by its node.
    """
    known: dict[int, Any] = dict(values)
    nodes = list[Node]()
    for node in graph.nodes:
        if node.refs and all(ref in known for ref in node.refs):
            known[node.index] = call(node, known.__getitem__)
        nodes.append(node if node.index in known else _with_known(node, known))
    calls = {name: _of_others(found, known) for name, found in graph.module_calls.items()}
    calls = {name: found for name, found in calls.items() if found}
    inputs = tuple(index for index in graph.inputs if index not in values)
    return replace(graph, nodes=tuple(nodes), inputs=inputs, module_calls=calls)


def _of_others(calls: tuple[ModuleCall, ...], known: Container[int]) -> tuple[ModuleCall, ...]:
    """Return a module's calls with None for constant outputs, without calls that have no other outputs."""
    replaced = (tuple(None if place in known else place for place in one) for one in calls)
    return tuple(one for one in replaced if any(place is not None for place in one))


def _with_known(node: Node, known: Mapping[int, Any]) -> Node:
    """Return a node with known values in place of references to them."""
    if not any(ref in known for ref in node.refs):
        return node
    kwargs = {key: _replaced(value, known) for key, value in node.kwargs.items()}
    return replace(node, args=_replaced(node.args, known), kwargs=kwargs)


def _replaced(value: Any, known: Mapping[int, Any]) -> Any:
    if isinstance(value, Ref):
        return known.get(value.index, value)
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(item, known) for item in value)
    return value
