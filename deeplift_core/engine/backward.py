"""The backward pass: multipliers from a target to the layers that get scores (paper, equation 3)."""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.values import PairValues


class Score(NamedTuple):
    """One multiplier for each element of a layer, and the contribution of the element."""

    multiplier: Tensor
    contribution: Tensor


def backward_pass(
    plan: Plan, target: int, layers: Collection[int], values: PairValues, *, last: bool = True
) -> dict[int, Score]:
    """Return the multipliers and contributions of ``layers`` with respect to ``target``.

    Parameters
    ----------
    plan : Plan
    target : int
        The node [K] of the explained scalar.
    layers : collection of int
        Inputs, or nodes inside, at which the pass ends.
    values : PairValues
        Forward values of the nodes that the plan keeps, at the input and at the reference.
    last : bool
        True if no further pass needs ``values``, so that each value is freed after its last use.

    Returns
    -------
    dict of int to Score
        The multiplier is m+ where a layer's Delta is > 0, m- where Delta is < 0, and their mean where Delta
        is 0; the contribution is m+ P + m- Q. For an input the contribution is multiplier x Delta; for a
        layer inside the two may differ, because one Delta may have parts of both signs there.
    """
    at_target = plan.graph.nodes[target]
    ones = torch.ones(at_target.shape, dtype=at_target.dtype, device=plan.graph.device)
    pending = {target: Multipliers.same(ones)}
    reached = plan.reached(target, layers)
    found = {index: _nothing(values, index) for index in layers if index not in reached}
    for index in reached:
        if last:
            values.free_from(index + 1)
        m = pending.pop(index, None)
        if index in layers:
            found[index] = _nothing(values, index) if m is None else _score(values, index, m)
        if index in layers or m is None:
            continue
        for source, sent in plan.rules[index].backward(values, m):
            dtype = plan.graph.nodes[source].dtype
            if dtype.is_floating_point:  # attention in bfloat16 has steps in float32, with such multipliers
                sent = sent.each(partial(Tensor.to, dtype=dtype))
            pending[source] = pending[source] + sent if source in pending else sent
    return found


def _score(values: PairValues, index: int, m: Multipliers) -> Score:
    multiplier = m.by_sign(values.delta(index)) if m.split else m.positive
    if not m.split:
        return Score(multiplier, multiplier * (values.x[index] - values.reference[index]))
    parts = values.parts(index)
    return Score(multiplier, m.positive * parts.positive + m.negative * parts.negative)


def _nothing(values: PairValues, index: int) -> Score:
    """Return the score of a layer that the target does not depend on."""
    zeros = torch.zeros_like(values.x[index])
    return Score(zeros, zeros)
