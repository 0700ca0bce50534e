"""One forward pass and one reverse walk, as functions of tensors."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.graph import Graph
from deeplift_core.rules.activation import Activation
from deeplift_core.rules.base import Multipliers, Rule, Walk
from deeplift_core.rules.linear import LinearRule


def values_to_keep(plan: Plan, target: int, layers: Collection[int]) -> frozenset[int]:
    """Nodes whose forward values the reverse walk from ``target`` to ``layers`` may read."""
    reached = plan.reached(target)
    split: set[int] = set()
    for index in reached:
        if plan.rule(index).splits(index in split):
            split.update(plan.rule(index).sources)
    asking = [plan.rule(i).sources for i in reached if _is_revealcancel(plan.rule(i))]
    asked = _asked_for_parts(plan, [*chain(*asking), *split.intersection(layers)])
    saved = (plan.rule(i).saved_for(split=i in split, parts=i in asked) for i in reached)
    return frozenset().union(*saved, layers, plan.graph.inputs)


def _is_revealcancel(rule: Rule) -> bool:
    return isinstance(rule, Activation) and rule.rule != "rescale"


def _asked_for_parts(plan: Plan, first: Iterable[int]) -> set[int]:
    """Nodes whose P and Q may be asked for: up from ``first`` to the linear ones, which start afresh."""
    pending, asked = list(first), set[int]()
    while pending:
        index = pending.pop()
        if index not in asked:
            asked.add(index)
            if not isinstance(plan.rule(index), LinearRule):
                pending.extend(plan.rule(index).sources)
    return asked


class Score(NamedTuple):
    """Of one layer: one multiplier for each element, and what the element contributes."""

    multiplier: Tensor
    contribution: Tensor


def scores(
    plan: Plan, target: int, layers: Collection[int], walk: Walk, *, last: bool = True
) -> dict[int, Score]:
    """Multipliers and contributions of ``layers`` (inputs, or any nodes) with respect to ``target``.

    Parameters
    ----------
    plan : Plan
        The rule of every node.
    target : int
        Node [K] of the explained scalar.
    layers : collection of int
        Where the walk ends.
    walk : Walk
        With the forward values of the nodes in :func:`values_to_keep`, at the input and at the reference.
    last : bool
        Whether no further walk needs ``walk``, so that values go as soon as this one has passed.

    Returns
    -------
    dict of int to Score
        For each of ``layers`` the multiplier is m+ where its Delta is > 0, m- where it is < 0, their mean
        where it is 0; the contribution is m+ P + m- Q, which is multiplier x Delta for an input, but not
        for a layer inside whose Delta has parts of both signs.
    """
    # In the walk's own precision, which an output may exceed.
    ones = torch.ones_like(walk.x[target], dtype=plan.graph.nodes[target].dtype)
    pending = {target: Multipliers.same(ones)}
    nothing = {index: torch.zeros_like(walk.x[index]) for index in layers}
    found = {index: Score(zeros, zeros) for index, zeros in nothing.items()}
    for index in plan.reached(target):
        if last:
            walk.let_go(index + 1)
        m = pending.pop(index, None)
        if m is None:
            continue
        if index in layers:
            found[index] = _score(walk, index, m)
            continue
        for source, sent in plan.rule(index).backward(walk, m):
            dtype = plan.graph.nodes[source].dtype
            if dtype.is_floating_point:  # in its own precision: attention in bfloat16 has steps in float32
                sent = sent.each(partial(torch.Tensor.to, dtype=dtype))
            pending[source] = pending[source] + sent if source in pending else sent
    return found


def _score(walk: Walk, index: int, m: Multipliers) -> Score:
    multiplier = m.by_sign(walk.delta(index))
    if not m.split:
        return Score(multiplier, multiplier * (walk.x[index] - walk.reference[index]))
    parts = walk.parts(index)
    return Score(multiplier, m.positive * parts.positive + m.negative * parts.negative)


def gradients(graph: Graph, target: int, inputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """Gradients of ``target`` with respect to every input of the graph, at ``inputs``."""
    with torch.enable_grad():
        points = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        value = graph.run(points, [target], ())[target]
        found = torch.autograd.grad(value.sum(), points, allow_unused=True)
    pairs = zip(graph.inputs, inputs, found, strict=True)
    return {index: torch.zeros_like(x) if grad is None else grad for index, x, grad in pairs}
