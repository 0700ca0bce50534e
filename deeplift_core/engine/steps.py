"""The two steps of scoring: a forward pass that keeps what reverse walks read, and a walk for each target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.engine.backward import Score, gradients, scores
from deeplift_core.passes.exact_ends import with_exact_ends
from deeplift_core.rules.base import Walk, single


@dataclass(frozen=True, eq=False)
class Task:
    """What one call explains: target and prediction nodes, and the layers that get scores.

    ``asked`` is what the user asked for, the target and the name of a layer, as `DeepLift.attribute` takes
    them.
    """

    asked: tuple[Any, str | None]
    plan: Plan
    target: int
    prediction: int
    layers: tuple[int, ...]
    keep: frozenset[int]


class LayerScores(NamedTuple):
    """Of one layer, for one batch against one reference for each row; tensors [K, ...]."""

    contribution: Tensor
    hypothetical: Tensor | None
    multiplier: Tensor


class Steps:
    """Both steps as they are written, one operation after the other.

    Parameters
    ----------
    tasks : sequence of Task
        On one recording and of one plan; they share the forward pass, and what walks work out on the way.
    channel_axis : int or None
        Of the inputs; None to find it.
    """

    def __init__(self, tasks: Sequence[Task], channel_axis: int | None) -> None:
        self.tasks = tuple(tasks)
        self.wanted = sorted({node for task in tasks for node in (task.target, task.prediction)})
        self._keep = frozenset().union(*(task.keep for task in tasks))
        self.graph = with_exact_ends(tasks[0].plan.to_run(), self.wanted, self._keep)
        self._channel_axis = channel_axis

    def forward(self, inputs: list[Tensor]) -> dict[int, Any]:
        """Values of a batch [K, ...]: those that the walks read, the targets' and the predictions'."""
        return self.graph.run(inputs, self.wanted, self._keep)

    def walks(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """Scores of every layer of each task in turn, given the values at the input and at the reference.

        Takes the latter out of ``reference``, to let go of them as the last walk passes.
        """
        tasks = self.tasks
        ends = [{i: (x[i], reference[i]) for i in task.layers} for task in tasks]
        walk = Walk(x, reference, tasks[0].plan.rule)
        reference.clear()
        for task, pairs in zip(tasks, ends, strict=True):
            found = self.scores(task, walk, last=task is tasks[-1])
            yield [self._finished(i, found[i], *pairs[i]) for i in task.layers]

    def scores(self, task: Task, walk: Walk, *, last: bool) -> dict[int, Score]:
        """By DeepLIFT's rules."""
        return scores(task.plan, task.target, task.layers, walk, last=last)

    def _finished(self, layer: int, score: Score, x: Tensor, reference: Tensor) -> LayerScores:
        """In float32 at least: what follows are sums and means of these."""
        multiplier = single(score.multiplier)
        return LayerScores(
            single(score.contribution),
            self._hypothetical(layer, multiplier, single(x), single(reference)),
            multiplier,
        )

    def _hypothetical(self, layer: int, m: Tensor, x: Tensor, reference: Tensor) -> Tensor | None:
        """m_b - sum_k ref_k m_k; 0 where neither the sequence nor the reference has a base.

        None for a layer that is no input with bases.
        """
        axis = _channel_axis(x, self._channel_axis) if layer in self.graph.inputs else None
        if axis is None:
            return None
        score = m - (reference * m).sum(axis, keepdim=True)
        empty = ((x == 0) & (reference == 0)).all(axis, keepdim=True)
        return score.masked_fill(empty, 0)


class GradientSteps(Steps):
    """The rules for comparison: gradients in place of multipliers.

    Parameters
    ----------
    tasks, channel_axis
        As for `Steps`.
    steps : int
        Gradients for each pair, at the middles of as many parts of the way from reference to input.
    at_input : bool
        Take one at the input itself.
    """

    def __init__(
        self, tasks: Sequence[Task], channel_axis: int | None, *, steps: int, at_input: bool
    ) -> None:
        super().__init__(tasks, channel_axis)
        self._fractions = [1.0] if at_input else [(k + 0.5) / steps for k in range(steps)]

    def scores(self, task: Task, walk: Walk, *, last: bool) -> dict[int, Score]:
        """The mean of the gradients, times the difference."""
        x, reference = walk.x, walk.reference
        total: dict[int, Tensor] = {}
        for fraction in self._fractions:
            point = [reference[i] + fraction * (x[i] - reference[i]) for i in task.layers]
            for index, gradient in gradients(self.graph, task.target, point).items():
                total[index] = total[index] + gradient if index in total else gradient
        means = {index: value / len(self._fractions) for index, value in total.items()}
        return {index: Score(mean, mean * (x[index] - reference[index])) for index, mean in means.items()}


def _channel_axis(value: Tensor, given: int | None) -> int | None:
    if given is not None:
        return given % value.dim()
    axes = [1, value.dim() - 1, *range(2, value.dim() - 1)]
    return next((axis for axis in axes if 0 < axis < value.dim() and value.shape[axis] == 4), None)
