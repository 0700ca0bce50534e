"""Sequences and optional values, which exporters leave for `unbind`, `chunk` and lists: worked out by name.

Which tensors a sequence holds is known beforehand; what is left are the tensors.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import helper

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.graph import Graph, attributes, has_input, make_node

_OPTIONAL = {"Optional", "OptionalGetElement", "OptionalHasElement"}


@dataclass
class _State:
    graph: Graph
    held: dict[str, list[str]] = field(default_factory=dict)  # the tensors of each sequence

    def position(self, node: Any, index: int) -> int | None:
        """Return a constant position; None where it is absent."""
        value = self.graph.constant(node, index)
        return None if value is None else int(value.reshape(-1)[0])


def resolve_sequences(graph: Graph) -> bool:
    """Replace, in place, the nodes that make and take sequences; return whether there was one."""
    state = _State(graph)
    nodes: list[Any] = []
    changed = False
    for node in graph.nodes:
        with about(node):
            replacement = None if node.domain else _resolved(node, state)
        changed = changed or replacement is not None
        nodes.extend([node] if replacement is None else replacement)
    graph.nodes = nodes
    return changed


def _resolved(node: Any, state: _State) -> list[Any] | None:
    """Return what replaces a node; None where it stays as it is."""
    kind = node.op_type
    if kind == "SplitToSequence":
        return _split(node, state)
    if kind in _OPTIONAL:
        return _optional(node, state)
    if kind in ("SequenceConstruct", "SequenceEmpty"):
        state.held[node.output[0]] = list(node.input)
        return []
    held = state.held.get(node.input[0]) if node.input else None
    if held is None:
        return None
    if kind == "Identity":
        state.held[node.output[0]] = held
        return []
    if kind in ("SequenceInsert", "SequenceErase"):
        return _changed(node, held, state)
    return _read(node, held, state)


def _read(node: Any, held: list[str], state: _State) -> list[Any] | None:
    """Replace what makes a tensor of a sequence."""
    if node.op_type == "SequenceLength":
        state.graph.constants[node.output[0]] = np.asarray(len(held), dtype=np.int64)
        return []
    if node.op_type == "SequenceAt":
        place = state.position(node, 1)
        return None if place is None else [make_node(node, "Identity", [held[place]])]
    if node.op_type != "ConcatFromSequence":
        return None
    attrs = attributes(node)
    if not attrs.get("new_axis", 0):
        return [make_node(node, "Concat", held, axis=attrs["axis"])]
    stacked = [f"{node.name}:{index}" for index in range(len(held))]
    nodes = [
        _reshaped("Unsqueeze", name, result, attrs["axis"], state.graph)
        for name, result in zip(held, stacked, strict=True)
    ]
    return [*nodes, make_node(node, "Concat", stacked, axis=attrs["axis"])]


def _changed(node: Any, held: list[str], state: _State) -> list[Any] | None:
    index = 2 if node.op_type == "SequenceInsert" else 1
    if has_input(node, index) and state.position(node, index) is None:
        return None
    place, new = state.position(node, index), list(held)
    if node.op_type == "SequenceErase":
        new.pop(-1 if place is None else place)
    else:
        new.insert(len(new) if place is None else place, node.input[1])
    state.held[node.output[0]] = new
    return []


def _split(node: Any, state: _State) -> list[Any] | None:
    """Split into the parts of a sequence: a node with as many outputs."""
    graph, attrs = state.graph, attributes(node)
    shape, given = graph.shape(node.input[0]), graph.constant(node, 1)
    if shape is None or not graph.is_constant(node, 1):
        return None
    axis = attrs.get("axis", 0) % len(shape)
    length = shape[axis]
    if given is not None and given.ndim == 1:
        sizes = [int(n) for n in given]
    elif length is None:
        return None
    else:
        step = 1 if given is None else int(given.reshape(-1)[0])
        sizes = [min(step, length - start) for start in range(0, length, step)]
    names = [f"{node.output[0]}:{index}" for index in range(len(sizes))]
    parts, squeezed = names, given is None and not attrs.get("keepdims", 1)
    if squeezed:
        parts = [f"{name}:kept" for name in names]
    state.held[node.output[0]] = names
    constant = f"{node.name}:sizes"
    graph.constants[constant] = np.asarray(sizes, dtype=np.int64)
    by_input = graph.opset >= 13
    inputs = [node.input[0], constant] if by_input else [node.input[0]]
    nodes = [make_node(node, "Split", inputs, parts, axis=axis, split=None if by_input else sizes)]
    if squeezed:
        pairs = zip(parts, names, strict=True)
        nodes += [_reshaped("Squeeze", part, name, axis, graph) for part, name in pairs]
    return nodes


def _reshaped(op_type: str, source: str, result: str, axis: int, graph: Graph) -> Any:
    name = result.replace(":", "/")
    if graph.opset < 13:
        return helper.make_node(op_type, [source], [result], name=name, axes=[axis])
    graph.constants[f"{result}:axis"] = np.asarray([axis], dtype=np.int64)
    return helper.make_node(op_type, [source, f"{result}:axis"], [result], name=name)


def _optional(node: Any, state: _State) -> list[Any] | None:
    """An optional value is the value, where there is one."""
    there = has_input(node, 0)
    if node.op_type == "OptionalHasElement":
        state.graph.constants[node.output[0]] = np.asarray(there)
        return []
    if not there:
        return None
    if node.input[0] in state.held:
        state.held[node.output[0]] = state.held[node.input[0]]
        return []
    return [make_node(node, "Identity", node.input)]
