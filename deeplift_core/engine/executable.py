"""A plan that is ready to run: a forward pass, and the scores that follow from two forward passes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.engine.backward import Score, backward_pass
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.engine.hypothetical import hypothetical_contributions
from deeplift_core.rules.rule import single
from deeplift_core.rules.values import PairValues


class LayerScores(NamedTuple):
    """Scores of one layer for one batch against one reference for each row: tensors [K, ...]."""

    contribution: Tensor
    hypothetical: Tensor | None
    multiplier: Tensor


class Executable(Protocol):
    """An object that scores batches of exactly K rows under one plan."""

    plan: Plan

    def forward(self, inputs: Sequence[Tensor]) -> dict[int, Any]:
        """Return the values of a batch [K, ...] that :meth:`scores` reads, and those of the targets."""

    def scores(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """Yield for each target in turn the scores of every layer.

        Parameters
        ----------
        x, reference : values by node
            Results of `forward`. The second mapping is emptied, so that its values can be freed.
        """


class EagerExecutable:
    """A plan run one operation after the other.

    Parameters
    ----------
    plan : Plan
    channel_axis : int or None
        The axis of the inputs along which a one-hot base lies; None if the axis is to be found.
    """

    def __init__(self, plan: Plan, channel_axis: int | None) -> None:
        self.plan = plan
        self._channel_axis = channel_axis
        self.forward = ForwardPass(plan)

    def scores(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """Run the backward passes of all targets, which share memoised values."""
        plan = self.plan
        ends = {layer: (x[layer], reference[layer]) for layer in plan.layers}
        values = PairValues(dict(x), dict(reference), plan.rules.__getitem__, plan.dtype)
        reference.clear()
        for place, target in enumerate(plan.targets):
            found = backward_pass(plan, target, plan.layers, values, last=place == len(plan.targets) - 1)
            yield [finished(plan, i, found[i], *ends[i], self._channel_axis) for i in plan.layers]


def finished(
    plan: Plan, layer: int, score: Score, x: Tensor, reference: Tensor, channel_axis: int | None
) -> LayerScores:
    """Return the scores of one layer in float32 at least, because sums and means of the scores follow."""
    multiplier = single(score.multiplier)
    hypothetical = None
    if layer in plan.graph.inputs:
        hypothetical = hypothetical_contributions(multiplier, single(x), single(reference), channel_axis)
    return LayerScores(single(score.contribution), hypothetical, multiplier)
