"""Dense layers of millions of weights, for the rows of one batch: weights times rows.

The library that torch calls takes up to a third less time for weights times rows than for rows times
weights on AMD's processors. With fewer rows than the threshold the product takes much longer, and rounds
more.

On an AMD EPYC under the rule ``rescale``, eager, with two threads and four references, the pass takes 3 % off
the time of DeepSEA, the one model of the speed benchmark whose batches have enough rows. With one thread
(benchmarks/passes.py) the pass takes nothing off.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Call, Plan
from deeplift_core.passes.thresholds import LARGE_DENSE_ROWS, LARGE_DENSE_WEIGHTS
from deeplift_core.rules.linear import MatrixProduct
from deeplift_core.rules.rule import recast

ORDER = 20

aten = torch.ops.aten


def product(rows: Tensor, weight: Tensor) -> Tensor:
    """Return ``rows @ weight``, of rows [M, I] and weights [I, O]."""
    if len(rows) < LARGE_DENSE_ROWS:
        return rows @ weight
    return (weight.mT @ rows.mT).mT.contiguous()


class LargeDense(MatrixProduct):
    """A dense layer whose products are weights times rows."""

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Multiply on the left."""
        return product(value, weight)

    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Multiply on the left."""
        return product(m, weight.mT)


def _with_bias(bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    return product(rows, weight) + bias


_CALLS: dict[Any, Callable[..., Tensor]] = {aten.mm.default: product, aten.addmm.default: _with_bias}


def apply(plan: Plan) -> Plan:
    """Compute large dense layers as weights times rows."""
    large = {i: rule for i, rule in plan.rules.items() if isinstance(rule, MatrixProduct) and _pays(rule)}
    rules = {index: recast(rule, LargeDense) for index, rule in large.items()}
    calls = {i: Call(_CALLS[rule.node.op], rule.node.args, {}) for i, rule in large.items()}
    return plan.with_rules(rules, calls)


def _pays(rule: MatrixProduct) -> bool:
    node, weight = rule.node, rule.weight
    return (
        node.op in _CALLS
        and not node.kwargs
        and rule.on_left
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and len(node.shape) == 2
        and node.shape[0] >= LARGE_DENSE_ROWS
        and weight.numel() >= LARGE_DENSE_WEIGHTS
    )
