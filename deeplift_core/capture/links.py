"""Find the link function that ends at a node: sigmoid, softmax or the logarithm of either, in any spelling.

A model's final link is left out by default, and its logit is explained (:mod:`deeplift_core.engine.logits`).
The same weights have to score the same whether a model calls ``torch.sigmoid(z)`` or writes
1 / (1 + exp(-z)). This module only reads the graph: inside a network, a link keeps the rule that it has.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref

aten = torch.ops.aten

LinkKind = Literal["sigmoid", "softmax", "log-sigmoid", "log-softmax"]


class Link(NamedTuple):
    """One of the four link functions. Its logits are ``sign`` times the value of node ``source``.

    Attributes
    ----------
    kind : {"sigmoid", "softmax", "log-sigmoid", "log-softmax"}
    source : int
        The node that holds the logits, or their negatives.
    axis : int or None
        The axis over which the probabilities of a softmax sum to 1, counted from the front; None otherwise.
    sign : {1, -1}
        -1 where the source holds the negatives of the logits: 1 / (1 + exp(a)) is the sigmoid of -a. Always 1
        for a softmax.
    """

    kind: LinkKind
    source: int
    axis: int | None = None
    sign: int = 1


class _Logits(NamedTuple):
    """``sign`` times the value of node ``source``."""

    source: int
    sign: int = 1


def final_link(graph: Graph, node: Node) -> Link | None:
    """Return the link function whose value ``node`` holds.

    Parameters
    ----------
    graph : Graph
        A graph in which :func:`deeplift_core.capture.patterns.recognise` has replaced every written-out
        softmax.
    node : Node
        The last operation of the link; the caller skips operations that move the link's values afterwards.

    Returns
    -------
    Link or None
        The value is None where the node holds no link function, or one in a spelling that this module does
        not know. The node itself is then explained.
    """
    if not node.dtype.is_floating_point:
        return None
    logits = _sigmoid(graph, node)
    if logits is not None:
        return Link("sigmoid", logits.source, sign=logits.sign)
    logits = _log_sigmoid(graph, node)
    if logits is not None:
        return Link("log-sigmoid", logits.source, sign=logits.sign)
    for kind, find in _OVER_AXES.items():
        over_axis = find(graph, node)
        if over_axis is not None:
            source, axis = over_axis
            return Link(kind, _without_largest(graph, source, axis), axis)
    return None


# ---- reading the graph


def _node(graph: Graph, value: object) -> Node | None:
    """Return the node to which an argument refers, before any copies; None for a constant."""
    if not isinstance(value, Ref):
        return None
    node = graph.nodes[value.index]
    while node.op in (aten.clone.default, aten.alias.default, aten.detach.default):
        node = graph.nodes[node.refs[0]]
    return node


def _is_constant(value: object, number: float) -> bool:
    """Return whether an argument is this number, or a tensor that holds it everywhere."""
    if isinstance(value, Tensor):
        return bool((value == number).all())
    return isinstance(value, (int, float)) and value == number


def _with_constant(graph: Graph, node: Node, op: object, number: float) -> Node | None:
    """Return the other argument of a sum or product of two, where one argument is this number; else None."""
    if node.op is not op or node.kwargs.get("alpha", 1) != 1:
        return None
    for value, other in (node.args[:2], node.args[1::-1]):
        found = _node(graph, value)
        if found is not None and _is_constant(other, number) and found.shape == node.shape:
            return found
    return None


def _one_plus(graph: Graph, node: Node) -> Node | None:
    return _with_constant(graph, node, aten.add.Tensor, 1)


def _multiplied_by(graph: Graph, node: Node, number: float) -> Node | None:
    """Return the node that is multiplied by the number, also where the model divides by its reciprocal."""
    if node.op is aten.div.Tensor and _is_constant(node.args[1], 1 / number):
        return _node(graph, node.args[0])
    return _with_constant(graph, node, aten.mul.Tensor, number)


def _negated(graph: Graph, node: Node) -> Node | None:
    """Return the node whose negative this one holds."""
    if node.op is aten.neg.default:
        return _node(graph, node.args[0])
    return _multiplied_by(graph, node, -1)


def _argument_of(graph: Graph, node: Node | None, op: object) -> Node | None:
    """Return the node of which ``node`` is this function."""
    return _node(graph, node.args[0]) if node is not None and node.op is op else None


def _divisor(graph: Graph, node: Node | None) -> Node | None:
    """Return the node whose reciprocal this one holds."""
    if node is not None and node.op is aten.pow.Tensor_Scalar and node.args[1] == -1:
        return _node(graph, node.args[0])
    return _argument_of(graph, node, aten.reciprocal.default)


def _minus(graph: Graph, node: Node) -> _Logits:
    """Return the logits -a where ``node`` holds a: what the node negates, or else a with the sign -1."""
    opposite = _negated(graph, node)
    return _Logits(node.index, -1) if opposite is None else _Logits(opposite.index)


# ---- sigmoid


def _sigmoid(graph: Graph, node: Node) -> _Logits | None:
    if node.op is aten.sigmoid.default:
        return _Logits(node.refs[0])
    return _by_reciprocal(graph, node) or _by_exponentials(graph, node) or _by_tanh(graph, node)


def _by_reciprocal(graph: Graph, node: Node) -> _Logits | None:
    """1 / (1 + exp(-z)), which is recorded as 1 times the reciprocal."""
    times_one = _multiplied_by(graph, node, 1)
    below = _divisor(graph, node if times_one is None else times_one)
    exponential = None if below is None else _one_plus(graph, below)
    exponent = _argument_of(graph, exponential, aten.exp.default)
    return None if exponent is None else _minus(graph, exponent)


def _by_exponentials(graph: Graph, node: Node) -> _Logits | None:
    """exp(z) / (1 + exp(z)), which is recorded as a product with the reciprocal."""
    if node.op is not aten.mul.Tensor:
        return None
    for above, below in (node.args, node.args[::-1]):
        exponent = _argument_of(graph, _node(graph, above), aten.exp.default)
        total = _divisor(graph, _node(graph, below))
        exponential = None if total is None else _one_plus(graph, total)
        if exponent is not None and _argument_of(graph, exponential, aten.exp.default) is exponent:
            return _Logits(exponent.index)
    return None


def _by_tanh(graph: Graph, node: Node) -> _Logits | None:
    """(1 + tanh(z / 2)) / 2."""
    doubled = _multiplied_by(graph, node, 0.5)
    ratio = None if doubled is None else _one_plus(graph, doubled)
    half = _argument_of(graph, ratio, aten.tanh.default)
    whole = None if half is None else _multiplied_by(graph, half, 0.5)
    return None if whole is None else _Logits(whole.index)


# ---- log-sigmoid


def _log_sigmoid(graph: Graph, node: Node) -> _Logits | None:
    """log(sigmoid(z)), -softplus(-z) or z - softplus(z)."""
    argument = _argument_of(graph, node, aten.log.default)
    if argument is not None:
        return _sigmoid(graph, argument)
    negated = _negated(graph, node)
    if negated is not None:
        argument = _softplus(graph, negated)
        return None if argument is None else _minus(graph, argument)
    if node.op is aten.sub.Tensor and not node.kwargs:
        z, subtracted = (_node(graph, value) for value in node.args)
        if z is not None and subtracted is not None and _softplus(graph, subtracted) is z:
            return _Logits(z.index)
    return None


def _softplus(graph: Graph, node: Node) -> Node | None:
    """Return the node a where this one holds log(1 + exp(a)) in one of its spellings."""
    if node.op is aten.softplus.default:
        beta = node.args[1] if len(node.args) > 1 else 1
        return _node(graph, node.args[0]) if beta == 1 else None
    if node.op is aten.logaddexp.default:
        for value, other in (node.args, node.args[::-1]):
            found = _node(graph, value)
            if found is not None and _is_constant(other, 0) and found.shape == node.shape:
                return found
        return None
    total = _argument_of(graph, node, aten.log.default)
    exponential = (
        _one_plus(graph, total) if total is not None else _argument_of(graph, node, aten.log1p.default)
    )
    return _argument_of(graph, exponential, aten.exp.default)


# ---- softmax and log-softmax


def _softmax(graph: Graph, node: Node) -> tuple[Node, int] | None:
    argument = _argument_of(graph, node, aten._softmax.default)
    return None if argument is None else (argument, int(node.args[1]) % len(node.shape))


def _log_softmax(graph: Graph, node: Node) -> tuple[Node, int] | None:
    """log_softmax(z), log(softmax(z)) or z - logsumexp(z)."""
    argument = _argument_of(graph, node, aten._log_softmax.default)
    if argument is not None:
        return argument, int(node.args[1]) % len(node.shape)
    argument = _argument_of(graph, node, aten.log.default)
    if argument is not None:
        return _softmax(graph, argument)
    if node.op is not aten.sub.Tensor or node.kwargs:
        return None
    z, subtracted = (_node(graph, value) for value in node.args)
    summed = None if subtracted is None else _logsumexp(graph, subtracted)
    return summed if summed is not None and summed[0] is z else None


def _logsumexp(graph: Graph, node: Node) -> tuple[Node, int] | None:
    """z and the axis where the node holds logsumexp(z) with one axis, which is kept with length 1."""
    if node.op is aten.unsqueeze.default:
        inner = _node(graph, node.args[0])
        summed = _over_one_axis(graph, inner)
        at = int(node.args[1]) % len(node.shape)
        return (
            summed
            if summed is not None and inner is not None and not _kept(inner) and at == summed[1]
            else None
        )
    if node.op is aten.add.Tensor and not node.kwargs:  # The largest logit was subtracted first.
        for value, other in (node.args, node.args[::-1]):
            added, rest = _node(graph, value), _node(graph, other)
            summed = None if rest is None else _logsumexp(graph, rest)
            if summed is None or added is None or summed[0].op is not aten.sub.Tensor or summed[0].kwargs:
                continue
            z, taken_off = (_node(graph, item) for item in summed[0].args)
            if z is not None and taken_off is added and z.shape == summed[0].shape:
                return z, summed[1]
        return None
    return _over_one_axis(graph, node) if _kept(node) else None


def _over_one_axis(graph: Graph, node: Node | None) -> tuple[Node, int] | None:
    z = _argument_of(graph, node, aten.logsumexp.default)
    if node is None or z is None or len(node.args[1]) != 1:
        return None
    return z, int(node.args[1][0]) % len(z.shape)


def _kept(node: Node) -> bool:
    return node.op is aten.logsumexp.default and len(node.args) > 2 and bool(node.args[2])


def _without_largest(graph: Graph, node: Node, axis: int) -> int:
    """Return the logits z where ``node`` holds z - max(z) over the axis, which changes no probability."""
    if node.op is not aten.sub.Tensor or node.kwargs:
        return node.index
    z, subtracted = (_node(graph, value) for value in node.args)
    if z is None or subtracted is None or subtracted.shape[axis] != 1:
        return node.index
    maximum = subtracted
    if _node(graph, subtracted.args[0]) is not z:  # The values of max(z, axis), not their positions.
        kernel = _node(graph, subtracted.args[0])
        if kernel is None or kernel.op is not aten.max.dim or subtracted.args[1] != 0:
            return node.index
        maximum = kernel
    if maximum.op not in (aten.amax.default, aten.max.dim) or _node(graph, maximum.args[0]) is not z:
        return node.index
    axes = maximum.args[1] if isinstance(maximum.args[1], (list, tuple)) else [maximum.args[1]]
    return z.index if [one % len(z.shape) for one in axes] == [axis] else node.index


_OVER_AXES: dict[LinkKind, Callable[[Graph, Node], tuple[Node, int] | None]] = {
    "softmax": _softmax,
    "log-softmax": _log_softmax,
}
