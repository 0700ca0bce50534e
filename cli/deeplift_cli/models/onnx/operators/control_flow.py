"""Bodies of control flow put in place of their nodes, where what they do is known beforehand.

An `If` on a constant becomes the branch that the `If` takes; a `Loop` with a constant number of rounds, and a
`Scan`, become copies of their bodies, one after the other.
"""

from collections.abc import Callable, Iterable

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, helper, numpy_helper

from deeplift_cli.models.onnx.fold import evaluate
from deeplift_cli.models.onnx.graph import Array, Graph, attributes, constant_value
from deeplift_cli.models.onnx.registry import operator
from deeplift_cli.models.onnx.validity import require_few_written_out

_MOST_ROUNDS = 4096  # of a loop that may be written out


def _written_out(body: GraphProto, graph: Graph) -> int:
    """Return how many nodes a body has once the loops inside it are written out, too."""
    count = 0
    for node in body.node:
        inner = [item.g for item in node.attribute if item.type == onnx.AttributeProto.GRAPH]
        rounds = graph.constant(node, 0) if node.op_type == "Loop" and node.input else None
        times = 1 if rounds is None or rounds.size != 1 else min(max(int(rounds.item()), 1), _MOST_ROUNDS)
        count += 1 + times * sum(_written_out(item, graph) for item in inner)
    return count


def _identity(source: str, target: str, name: str) -> NodeProto:
    return helper.make_node("Identity", [source], [target], name=name)


@operator("If", written_out=True)
def inline_if(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    condition = graph.constant(node, 0)
    if condition is None:
        return None
    taken = attributes(node)["then_branch" if condition.reshape(-1)[0] else "else_branch"]
    nodes, results = renamed_body(taken, [], node.name, graph)
    return [*nodes, *handed_over(results, node.output, node.name)]


def handed_over(results: Iterable[str], outputs: Iterable[str], name: str) -> list[NodeProto]:
    pairs = zip(results, outputs, strict=True)
    return [_identity(a, b, f"{name}/result_{i}") for i, (a, b) in enumerate(pairs) if b]


def _rounds(node: NodeProto, graph: Graph) -> int | None:
    """Return the largest number of rounds of a loop; None where it is not known."""
    if not graph.is_constant(node, 0) or not graph.is_constant(node, 1):
        return None
    most = graph.constant(node, 0)
    return _MOST_ROUNDS if most is None else min(int(most.reshape(-1)[0]), _MOST_ROUNDS)


@operator("Loop", written_out=True)
def inline_loop(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    most, body = _rounds(node, graph), attributes(node)["body"]
    if most is None:
        return None
    if most < _MOST_ROUNDS:
        require_few_written_out(most * _written_out(body, graph))
    before = dict(graph.constants)
    start = graph.constant(node, 1)
    going = start is None or bool(start.reshape(-1)[0])
    carried, nodes, count = list(node.input[2:]), [], 0
    stacked: list[list[str]] = [[] for _ in node.output[len(carried) :]]
    while going and count < most:
        names = [_constant(graph, f"{node.name}:round_{count}", np.asarray(count, dtype=np.int64))]
        names += [_constant(graph, f"{node.name}:going_{count}", np.asarray(True)), *carried]
        new, results = renamed_body(body, names, f"{node.name}/{count}", graph)
        nodes += _folded(new, graph)
        require_few_written_out(len(nodes))
        verdict = graph.constants.get(results[0])
        if verdict is None:  # it depends on the input when the loop ends
            graph.constants = before
            return None
        going = bool(verdict.reshape(-1)[0])
        carried = results[1 : 1 + len(carried)]
        for column, name in zip(stacked, results[1 + len(carried) :], strict=True):
            column.append(name)
        count += 1
    if count == _MOST_ROUNDS or not all(stacked):
        graph.constants = before
        return None
    nodes += handed_over(carried, node.output[: len(carried)], node.name)
    for column, output in zip(stacked, node.output[len(carried) :], strict=True):
        nodes += _stack(column, 0, output, node.name, graph)
    return nodes


@operator("Scan", written_out=True)
def inline_scan(node: NodeProto, graph: Graph) -> list[NodeProto] | None:
    attrs = attributes(node)
    body, scanned = attrs["body"], attrs["num_scan_inputs"]
    carried, sources = list(node.input[:-scanned]), list(node.input[-scanned:])
    count = len(node.output) - len(carried)
    axes = attrs.get("scan_input_axes") or [0] * scanned
    backwards = attrs.get("scan_input_directions") or [0] * scanned
    shapes = [graph.shape(name) for name in sources]
    lengths = {shape[axis] if shape else None for shape, axis in zip(shapes, axes, strict=True)}
    rounds = lengths.pop() if len(lengths) == 1 else None
    if graph.opset < 9 or rounds is None or not 0 < rounds <= _MOST_ROUNDS:
        return None
    nodes: list[NodeProto] = []
    stacked: list[list[str]] = [[] for _ in range(count)]
    for step in range(rounds):
        prefix = f"{node.name}/{step}"
        slices = []
        for place, (source, axis, back) in enumerate(zip(sources, axes, backwards, strict=True)):
            index = _constant(graph, f"{prefix}:{place}", np.asarray(rounds - 1 - step if back else step))
            slices.append(f"{prefix}:slice_{place}")
            nodes.append(
                helper.make_node("Gather", [source, index], slices[-1:], f"{prefix}/slice_{place}", axis=axis)
            )
        new, results = renamed_body(body, [*carried, *slices], prefix, graph)
        nodes += new
        require_few_written_out(len(nodes))
        carried = results[: len(carried)]
        for column, name in zip(stacked, results[len(carried) :], strict=True):
            column.append(name)
    nodes += handed_over(carried, node.output[: len(carried)], node.name)
    ways = attrs.get("scan_output_directions") or [0] * count
    outward = attrs.get("scan_output_axes") or [0] * count
    for column, output, axis, back in zip(stacked, node.output[len(carried) :], outward, ways, strict=True):
        nodes += _stack(column[::-1] if back else column, axis, output, node.name, graph)
    return nodes


def _stack(names: list[str], axis: int, output: str, prefix: str, graph: Graph) -> list[NodeProto]:
    """Return nodes that put values together along a new axis."""
    if not output:
        return []
    axes = _constant(graph, f"{prefix}:{output}:axis", np.asarray([axis], dtype=np.int64))
    by_input = graph.opset >= 13
    nodes = []
    for index, name in enumerate(names):
        result, own = f"{prefix}:{output}:{index}", f"{prefix}/{output}/{index}"
        if by_input:
            nodes.append(helper.make_node("Unsqueeze", [name, axes], [result], name=own))
        else:
            nodes.append(helper.make_node("Unsqueeze", [name], [result], name=own, axes=[axis]))
    parts = [node.output[0] for node in nodes]
    return [*nodes, helper.make_node("Concat", parts, [output], name=f"{prefix}/{output}", axis=axis)]


def _constant(graph: Graph, name: str, value: Array) -> str:
    graph.constants[name] = value
    return name


def _folded(nodes: list[NodeProto], graph: Graph) -> list[NodeProto]:
    """Return the nodes that are not constant; the values of the others become constants."""
    kept = []
    for node in nodes:
        values = evaluate(node, graph)
        if values is None:
            kept.append(node)
        else:
            graph.constants.update(zip(node.output, values, strict=True))
    return kept


def renamed_body(
    body: GraphProto, inputs: list[str], prefix: str, graph: Graph
) -> tuple[list[NodeProto], list[str]]:
    """Return a body's nodes, with names of their own for what they define, and the names of its results."""
    renamed = dict(zip((value.name for value in body.input), inputs, strict=True))
    for tensor in body.initializer:
        renamed[tensor.name] = f"{prefix}:{tensor.name}"
        graph.constants[renamed[tensor.name]] = np.asarray(numpy_helper.to_array(tensor))
    for node in body.node:
        renamed.update((name, f"{prefix}:{name}") for name in node.output if name)
    nodes = []
    for index, node in enumerate(body.node):
        copy = _renamed(node, lambda name: renamed.get(name, name))
        copy.name = f"{prefix}/{node.name or f'{node.op_type}_{index}'}"
        value = constant_value(copy)
        if value is None:
            nodes.append(copy)
        else:
            graph.constants[copy.output[0]] = value
    return nodes, [renamed.get(value.name, value.name) for value in body.output]


def _renamed(node: NodeProto, rename: Callable[[str], str]) -> NodeProto:
    """Return a copy of a node whose values, and those that bodies in it take from outside, are renamed."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for names in (copy.input, copy.output):
        for index, name in enumerate(names):
            names[index] = rename(name)
    for attribute in copy.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            _rename_outer(attribute.g, rename)
    return copy


def _rename_outer(body: GraphProto, rename: Callable[[str], str]) -> None:
    inner = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    inner |= {name for node in body.node for name in node.output}

    def outer(name: str) -> str:
        return name if name in inner else rename(name)

    for index, node in enumerate(body.node):
        body.node[index].CopyFrom(_renamed(node, outer))
    for value in body.output:
        value.name = outer(value.name)
