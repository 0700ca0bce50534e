"""Convolutions of thousands of terms without most of float32's rounding.

Added up one after the other, the terms of one output round it by the more the more they are. Where the
outputs of a sequence and its reference hardly differ, that is what pairs miss summation-to-delta by, and each
of them is scored again in float64. One product of matrices for each tap of the kernel rounds a third as much,
and takes hardly longer.
"""

from dataclasses import replace

import torch

from deeplift_core.graph import Graph, Node
from deeplift_core.sequence_convolution import by_taps, convolution, is_plain
from deeplift_core.tap_products import tap_products

# How many terms are many, and from how many channels on products are as fast.
_MANY, _MANY_CHANNELS = 2048, 320


def with_short_sums(graph: Graph) -> Graph:
    """The same graph, with other kernels for convolutions of very many terms on a CPU."""
    return replace(graph, nodes=[_in_products(node) if _is_long(node) else node for node in graph.nodes])


def _is_long(node: Node) -> bool:
    if node.op is not convolution or node.dtype != torch.float32:
        return False
    _, weight, _, *settings = node.args
    many = min(weight.shape[:2]) >= _MANY_CHANNELS and weight[0].numel() >= _MANY
    return many and weight.device.type == "cpu" and is_plain(tuple(settings))


def _in_products(node: Node) -> Node:
    x, weight, bias, _, (padding,), (dilation,), *_ = node.args
    # In this order in memory, once: with the other one products take a tenth longer, or a third.
    matrices = by_taps(weight).contiguous()
    return replace(node, op=tap_products, args=(x, matrices, bias, padding, dilation))
