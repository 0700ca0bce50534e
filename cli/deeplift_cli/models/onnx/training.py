"""What an export in training mode leaves behind, treated as at inference.

Dropout and its kin do nothing at inference, batch normalisation uses its running statistics. Where an
exporter writes dropout, stochastic depth or noise out with random numbers, the random factor or term is
recognised by its mean: a factor of mean 1 or a term of mean 0 that depends on nothing else is left out. Any
other random number is part of the function: there is no one output to explain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import NodeProto
from torch import special, tensor

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx.fold import run_node
from deeplift_cli.models.onnx.graph import RANDOM, Array, Graph, attributes, has_input, make_node

_QUANTILES = (np.arange(10000) + 0.5) / 10000
_CLOSE = 1e-3  # of a mean worked out from quantiles
# Ops that a random mask is made with, one element at a time.
_ELEMENTWISE = frozenset(
    {
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Div",
        "Equal",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Sqrt",
        "Sub",
        "Where",
    }
)
_SAME_VALUES = frozenset({"Expand", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Cast"})


def as_at_inference(graph: Graph) -> tuple[str, ...]:
    """Take out, in place, what only training does.

    Returns
    -------
    tuple of str
        Notes on what was taken out.

    Raises
    ------
    UserError
        Where random numbers are part of what the model computes.
    """
    norms = _with_running_statistics(graph)
    dropped = _without_dropout(graph)
    dropped += _without_random_numbers(graph)
    notes = []
    if dropped:
        listed = _few(dropped)
        notes.append(f"random operations left over from training do nothing, as at inference: {listed}")
    if norms:
        notes.append(f"batch normalisation left in training mode uses its running statistics: {_few(norms)}")
    return tuple(notes)


def _few(names: list[str]) -> str:
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest} more" if rest > 0 else "")


def _with_running_statistics(graph: Graph) -> list[str]:
    found, nodes, replaced = [], [], []
    for node in graph.nodes:
        is_norm = node.op_type == "BatchNormalization" and not node.domain
        attrs = attributes(node) if is_norm else {}
        if is_norm and (attrs.pop("training_mode", 0) or any(node.output[1:])):
            found.append(node.name)
            kept = zip(node.output[1:], (3, 4, 3, 4), strict=False)
            replaced += [(name, node.input[place]) for name, place in kept if graph.is_used(name)]
            node = make_node(node, node.op_type, node.input, node.output[:1], **attrs)
        nodes.append(node)
    graph.nodes = nodes
    for name, statistic in replaced:
        graph.replace(name, statistic)
    return found


def _without_dropout(graph: Graph) -> list[str]:
    """Return the names of active dropouts; the pass that removes identities takes them out."""
    found, nodes = [], []
    for node in graph.nodes:
        if node.op_type == "Dropout" and not node.domain and has_input(node, 2):
            training, ratio = graph.constant(node, 2), graph.constant(node, 1)
            if training is None or training.any():
                if ratio is None or ratio.any():
                    found.append(node.name)
                node = make_node(node, "Dropout", node.input[:2], node.output, **attributes(node))
        nodes.append(node)
    graph.nodes = nodes
    return found


@dataclass(frozen=True)
class _Random:
    """The values that come of random numbers and constants alone, and the nodes that make them."""

    sources: list[NodeProto]
    makers: dict[str, NodeProto]
    quantiles: dict[str, Array | None] = field(default_factory=dict)

    def origin(self, name: str) -> list[NodeProto]:
        """The random nodes that a value comes of."""
        pending, found, seen = [name], [], set()
        while pending:
            maker = self.makers.get(pending.pop())
            if maker is None or maker.name in seen:
                continue
            seen.add(maker.name)
            if maker.op_type in RANDOM:
                found.append(maker)
            else:
                pending.extend(maker.input)
        return found


def _without_random_numbers(graph: Graph) -> list[str]:
    graph.remove_unused()
    random = _random_values(graph)
    if not random.sources:
        return []
    for node in list(graph.nodes):
        mixed = [name for name in node.input if name in random.makers]
        if mixed and node.output[0] not in random.makers and _still_there(node, graph):
            _take_out(node, mixed, random, graph)
    graph.remove_unused()
    left = [node for node in graph.nodes if not node.domain and node.op_type in RANDOM]
    if left:
        raise _part_of_function(left)
    return [node.name for node in random.sources]


def _still_there(node: NodeProto, graph: Graph) -> bool:
    return graph.maker(node.output[0]) is node and graph.is_used(node.output[0])


def _part_of_function(nodes: Iterable[NodeProto]) -> UserError:
    listed = ", ".join(f"{node.name} ({node.op_type})" for node in nodes)
    return UserError(
        f"the model's output is random: {listed} is part of what it computes and no leftover of training "
        "that deeplift knows; export the model in evaluation mode, or take it out"
    )


def _random_values(graph: Graph) -> _Random:
    makers: dict[str, NodeProto] = {}
    sources = []
    shapes: set[str] = set()  # values that are worked out from shapes and constants alone
    for node in graph.nodes:
        given = [name for name in node.input if name]
        known = [name in graph.constants or name in shapes for name in given]
        if node.op_type in ("Shape", "Size") or (given and all(known)):
            shapes.update(node.output)
        if not node.domain and node.op_type in RANDOM:
            sources.append(node)
        elif not any(name in makers for name in given) or not all(
            name in makers or is_known for name, is_known in zip(given, known, strict=True)
        ):
            continue
        makers.update(dict.fromkeys(node.output, node))
    return _Random(sources, makers)


def _take_out(node: NodeProto, mixed: list[str], random: _Random, graph: Graph) -> None:
    """Replace what a random factor or term is applied to by itself."""
    others = [name for name in node.input if name not in mixed]
    if len(mixed) != 1 or len(others) != 1 or node.op_type not in ("Mul", "Add", "Sub"):
        raise _part_of_function(random.origin(mixed[0]))
    mean = _mean(mixed[0], random, graph)
    if node.op_type == "Mul":
        _take_out_factor(node, mixed[0], others[0], mean, random, graph)
    elif mean is not None and abs(mean) < _CLOSE and node.input[0] == others[0]:
        graph.replace(node.output[0], others[0])
    else:
        raise _part_of_function(random.origin(mixed[0]))


def _take_out_factor(
    node: NodeProto, factor: str, source: str, mean: float | None, random: _Random, graph: Graph
) -> None:
    users = graph.users(node.output[0])
    if len(users) == 1:
        after = users[0]
        other = [name for name in after.input if name != node.output[0]]
        if after.op_type == "Add" and other and other[0] in random.makers:
            if random.origin(other[0]) == random.origin(factor):  # alpha dropout: a factor and a term
                graph.replace(after.output[0], source)
                return
        elif mean is not None and _is_rescaled(after, node.output[0], mean, graph):
            graph.replace(after.output[0], source)
            return
    before = graph.maker(source)
    if before is not None and mean is not None:
        given = [name for name in before.input if name not in graph.constants]
        if len(given) == 1 and _is_rescaled(before, given[0], mean, graph):
            graph.replace(node.output[0], given[0])  # x / keep, then the mask
            return
    if mean is None or abs(mean - 1) > _CLOSE:
        raise _part_of_function(random.origin(factor))
    graph.replace(node.output[0], source)


def _is_rescaled(other: NodeProto, name: str, mean: float, graph: Graph) -> bool:
    """Return whether the node beside a factor, which takes `name`, brings the factor's mean back to 1."""
    place = 1 if other.input[0] == name else 0
    number = graph.constant(other, place) if len(other.input) == 2 else None
    if number is None or number.size != 1:
        return False
    scale = float(number.reshape(-1)[0])
    if other.op_type == "Div" and place == 1 and scale:
        return abs(mean / scale - 1) < _CLOSE and abs(mean - 1) > _CLOSE
    return other.op_type == "Mul" and abs(mean * scale - 1) < _CLOSE and abs(mean - 1) > _CLOSE


def _mean(name: str, random: _Random, graph: Graph) -> float | None:
    """The mean of a random value, over quantiles of the one random number that it comes of."""
    origin = random.origin(name)
    if len(origin) != 1:
        return None
    values = _quantiles(name, random, graph)
    return None if values is None else float(np.mean(values.astype(np.float64)))


def _quantiles(name: str, random: _Random, graph: Graph) -> Array | None:
    """Quantiles of a random value, each value's worked out once."""
    if name not in random.quantiles:
        random.quantiles[name] = _new_quantiles(name, random, graph)
    return random.quantiles[name]


def _new_quantiles(name: str, random: _Random, graph: Graph) -> Array | None:
    if name in graph.constants:
        value = graph.constants[name]
        return value.reshape(-1)[:1] if value.size and (value == value.reshape(-1)[0]).all() else None
    maker = random.makers.get(name)
    if maker is None:
        return None
    if maker.op_type in RANDOM:
        return _drawn(maker, graph)
    if maker.op_type in ("Expand", "Reshape", "Unsqueeze", "Squeeze"):
        return _quantiles(maker.input[0], random, graph)
    if maker.op_type not in _ELEMENTWISE:
        return None
    given = [_quantiles(source, random, graph) for source in maker.input]
    if any(value is None for value in given):
        return None
    feeds = {source: value for source, value in zip(maker.input, given, strict=True) if value is not None}
    return run_node(maker, feeds, graph.opset)[0]


def _drawn(node: NodeProto, graph: Graph) -> Array | None:
    """Quantiles of what a random node draws."""
    attrs = attributes(node)
    if node.op_type.startswith("RandomUniform"):
        low, high = attrs.get("low", 0.0), attrs.get("high", 1.0)
        return np.asarray(low + (high - low) * _QUANTILES, dtype=np.float32)
    if node.op_type.startswith("RandomNormal"):
        standard = special.ndtri(tensor(_QUANTILES)).numpy()
        return np.asarray(attrs.get("mean", 0.0) + attrs.get("scale", 1.0) * standard, dtype=np.float32)
    if node.op_type == "Bernoulli":
        probability = _number(node.input[0], graph)
        return None if probability is None else np.asarray(probability > _QUANTILES, dtype=np.float32)
    return None


def _number(name: str, graph: Graph) -> float | None:
    """The one number that a tensor is filled with; None where that is not known."""
    if name in graph.constants:
        known = graph.constants[name].reshape(-1)
        return float(known[0]) if known.size and (known == known[0]).all() else None
    maker = graph.maker(name)
    if maker is None:
        return None
    if maker.op_type == "ConstantOfShape":
        value = attributes(maker).get("value")
        return 0.0 if value is None else float(onnx.numpy_helper.to_array(value).reshape(-1)[0])
    return _number(maker.input[0], graph) if maker.op_type in _SAME_VALUES else None
