"""Recognise functions that a model writes out, although there is a rule for the whole function.

A softmax that is written as exp / sum has to score as softmax does (:mod:`deeplift_core.rules.softmax`). The
rules of the single operations would give errors that grow without bound when logits move together. The node
that ends such a chain is replaced by a call of the whole function, whose values are the same up to rounding.
:mod:`deeplift_core.capture.links` finds which link function ends at a node.
"""

from dataclasses import replace

import torch
from torch import Tensor

from deeplift_core.graph import Node, Ref
from deeplift_core.graph.builder import GraphBuilder

aten = torch.ops.aten


def recognise(graph: GraphBuilder, start: int = 0) -> None:
    """Replace, from node ``start`` on, each node that ends one of these functions written out."""
    for node in graph.nodes[start:]:
        for pattern in (_softmax, _logsumexp, _interpolation):
            found = pattern(graph, node)
            if found is not None:
                graph.nodes[node.index] = found
                break


def _softmax(graph: GraphBuilder, node: Node) -> Node | None:
    """exp(z) * reciprocal(sum(exp(z))) over one axis that the sum keeps."""
    if node.op_name != "mul" or len(node.refs) != 2 or not node.dtype.is_floating_point:
        return None
    for above, below in (node.args, node.args[::-1]):
        exp = _argument(graph, above, "exp")
        total = _argument(graph, below, "reciprocal")
        if exp is None or total is None:
            continue
        summed = _sum_of_exp(graph, total)
        if summed is None or not summed[2] or len(summed[1]) != 1 or summed[0] != exp:
            continue
        if graph.nodes[exp].shape == node.shape:
            return replace(node, op=aten._softmax.default, args=(Ref(exp), summed[1][0], False), kwargs={})
    return None


def _logsumexp(graph: GraphBuilder, node: Node) -> Node | None:
    """log(sum(exp(z))), or log(exp(a) + exp(b))."""
    if node.op_name != "log":
        return None
    pair = _two_exps(graph, node.args[0].index)
    if pair is not None:
        return replace(node, op=aten.logaddexp.default, args=pair, kwargs={})
    summed = _sum_of_exp(graph, node.args[0].index)
    if summed is None:
        return None
    exponent, axes, keepdim = summed
    return replace(node, op=aten.logsumexp.default, args=(Ref(exponent), axes, keepdim), kwargs={})


def _interpolation(graph: GraphBuilder, node: Node) -> Node | None:
    """a + (b - a) * w with a constant w, which torch makes of linear interpolation.

    As a (1 - w) + b w, the sum is affine with one weight for a and one for b. As it is written, a would occur
    two times, and P and Q would hold parts of a that cancel.
    """
    if node.op is not aten.add.Tensor or node.kwargs:
        return None
    for start, change in (node.args, node.args[::-1]):
        product = graph.nodes[change.index] if isinstance(change, Ref) else None
        if product is None or product.op is not aten.mul.Tensor or len(product.refs) != 1:
            continue
        minus = graph.nodes[product.refs[0]]
        weights = [value for value in product.args if not isinstance(value, Ref)]
        if minus.op is not aten.sub.Tensor or minus.kwargs or len(weights) != 1:
            continue
        end, subtracted = minus.args
        ends = start, end
        if not isinstance(end, Ref) or not isinstance(subtracted, Ref) or subtracted != start:
            continue
        if any(graph.nodes[one.index].dtype != node.dtype for one in ends):
            continue
        if isinstance(weights[0], float):
            return replace(node, op=aten.lerp.Scalar, args=(*ends, weights[0]), kwargs={})
        if isinstance(weights[0], Tensor) and weights[0].dtype == node.dtype:
            return replace(node, op=aten.lerp.Tensor, args=(*ends, weights[0]), kwargs={})
    return None


def _two_exps(graph: GraphBuilder, index: int) -> tuple[Ref, Ref] | None:
    """a and b where the node is exp(a) + exp(b)."""
    node = graph.nodes[index]
    if node.op_name != "add" or node.kwargs.get("alpha", 1) != 1:
        return None
    left, right = (_argument(graph, value, "exp") for value in node.args[:2])
    return None if left is None or right is None else (Ref(left), Ref(right))


def _argument(graph: GraphBuilder, value: object, op_name: str) -> int | None:
    """Return the node of which ``value`` is this function; None where it is not."""
    if not isinstance(value, Ref) or graph.nodes[value.index].op_name != op_name:
        return None
    argument = graph.nodes[value.index].args[0]
    return argument.index if isinstance(argument, Ref) else None


def _sum_of_exp(graph: GraphBuilder, index: int) -> tuple[int, list[int], bool] | None:
    """z, the axes, and whether these are kept, where the node is sum(exp(z)); None where it is not."""
    node = graph.nodes[index]
    if (
        node.op_name != "sum"
        or len(node.args) < 2
        or not node.args[1]
        or node.kwargs.get("dtype") is not None
    ):
        return None
    exponent = _argument(graph, node.args[0], "exp")
    axes = node.args[1]
    return None if exponent is None else (exponent, list(axes), len(node.args) > 2 and bool(node.args[2]))
