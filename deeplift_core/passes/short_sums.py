"""Convolutions of thousands of terms without most of float32's rounding.

Added up one after the other, the terms of one output round it by the more the more they are. Where the
outputs of a sequence and its reference hardly differ, that is what pairs miss summation-to-delta by, and each
of them is scored again in float64. One product of matrices for each tap of the kernel rounds a third as much,
and takes hardly longer.
"""

from dataclasses import replace

import torch

from deeplift_core.graph import Node
from deeplift_core.passes.sequence_convolution import by_taps, convolution, is_plain, padding_and_dilation
from deeplift_core.passes.tap_products import tap_products

# How many terms are many, and from how many channels on products are as fast.
_MANY, _MANY_CHANNELS = 2048, 320


def with_short_sums(node: Node) -> Node | None:
    """The same convolution by another kernel, where it is one of very many terms on a CPU."""
    if node.op is not convolution or node.dtype != torch.float32:
        return None
    x, weight, bias, settings = *node.args[:3], node.args[3:]
    many = min(weight.shape[:2]) >= _MANY_CHANNELS and weight[0].numel() >= _MANY
    if not many or weight.device.type != "cpu" or not is_plain(settings):
        return None
    # In this order in memory, once: with the other one products take a tenth longer, or a third.
    matrices = by_taps(weight).contiguous()
    return replace(node, op=tap_products, args=(x, matrices, bias, *padding_and_dilation(settings)))
