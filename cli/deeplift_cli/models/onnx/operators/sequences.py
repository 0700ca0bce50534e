"""Sequences and optional values, which exporters leave for `unbind`, `chunk` and lists: worked out by name.

The tensors that a sequence holds are known beforehand, so that only the tensors are left.
"""

import numpy as np
from onnx import NodeProto, helper

from deeplift_cli.models.onnx.graph import Graph, attributes, has_input, make_node
from deeplift_cli.models.onnx.registry import operator


@operator("SequenceConstruct", "SequenceEmpty", written_out=True)
def construct(node: NodeProto, graph: Graph) -> list[NodeProto]:
    """A sequence is the names of its tensors."""
    graph.sequences[node.output[0]] = list(node.input)
    return []


@operator("Identity", written_out=True)
def same(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """The same sequence; of tensors, the node stays."""
    held = _held(node, graph)
    if held is None:
        return None
    graph.sequences[node.output[0]] = held
    return []


@operator("SequenceLength", written_out=True)
def length_of(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """The number of tensors in a sequence."""
    held = _held(node, graph)
    if held is None:
        return None
    graph.constants[node.output[0]] = np.asarray(len(held), dtype=np.int64)
    return []


@operator("SequenceAt", written_out=True)
def element(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """One tensor of a sequence."""
    held, place = _held(node, graph), _position(node, 1, graph)
    return None if held is None or place is None else [make_node(node, "Identity", [held[place]])]


@operator("ConcatFromSequence", written_out=True)
def concatenation(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """The tensors of a sequence, one after the other along an axis, which may be a new one."""
    held, attrs = _held(node, graph), attributes(node)
    if held is None:
        return None
    if not attrs.get("new_axis", 0):
        return [make_node(node, "Concat", held, axis=attrs["axis"])]
    stacked = [f"{node.name}:{index}" for index in range(len(held))]
    nodes = [
        _reshaped("Unsqueeze", name, result, attrs["axis"], graph)
        for name, result in zip(held, stacked, strict=True)
    ]
    return [*nodes, make_node(node, "Concat", stacked, axis=attrs["axis"])]


@operator("SequenceInsert", "SequenceErase", written_out=True)
def changed(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """A sequence with one tensor more or less, at a place that is constant; without a place, at the end."""
    held, index = _held(node, graph), 2 if node.op_type == "SequenceInsert" else 1
    place = _position(node, index, graph)
    if held is None or (has_input(node, index) and place is None):
        return None
    new = list(held)
    if node.op_type == "SequenceErase":
        new.pop(-1 if place is None else place)
    else:
        new.insert(len(new) if place is None else place, node.input[1])
    graph.sequences[node.output[0]] = new
    return []


def _held(node: NodeProto, graph: Graph) -> list[str] | None:
    """Return the tensors of the sequence that a node takes; None where it takes none that is known."""
    return graph.sequences.get(node.input[0]) if node.input else None


def _position(node: NodeProto, index: int, graph: Graph) -> int | None:
    """Return a constant position; None where it is absent."""
    value = graph.constant(node, index)
    return None if value is None else int(value.reshape(-1)[0])


@operator("SplitToSequence", written_out=True)
def split(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """The parts of a tensor: a node with as many outputs."""
    attrs = attributes(node)
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
    graph.sequences[node.output[0]] = names
    constant = f"{node.name}:sizes"
    graph.constants[constant] = np.asarray(sizes, dtype=np.int64)
    by_input = graph.opset >= 13
    inputs = [node.input[0], constant] if by_input else [node.input[0]]
    nodes = [make_node(node, "Split", inputs, parts, axis=axis, split=None if by_input else sizes)]
    if squeezed:
        pairs = zip(parts, names, strict=True)
        nodes += [_reshaped("Squeeze", part, name, axis, graph) for part, name in pairs]
    return nodes


def _reshaped(op_type: str, source: str, result: str, axis: int, graph: Graph) -> NodeProto:
    name = result.replace(":", "/")
    if graph.opset < 13:
        return helper.make_node(op_type, [source], [result], name=name, axes=[axis])
    graph.constants[f"{result}:axis"] = np.asarray([axis], dtype=np.int64)
    return helper.make_node(op_type, [source, f"{result}:axis"], [result], name=name)


@operator("OptionalHasElement", written_out=True)
def is_there(node: NodeProto, graph: Graph) -> list[NodeProto]:
    """Return whether there is a value."""
    graph.constants[node.output[0]] = np.asarray(has_input(node, 0))
    return []


@operator("Optional", "OptionalGetElement", written_out=True)
def optional(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    """An optional value is the value, where there is one."""
    if not has_input(node, 0):
        return None
    written = same(node, graph)
    return [make_node(node, "Identity", node.input)] if written is None else written
