"""Scores of one batch of exactly K rows against its references."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.completeness import TOLERANCE, relative_error
from deeplift_core.plan import Plan
from deeplift_core.propagate import Score, gradients, scores
from deeplift_core.results import Attribution

# Values of references that all sequences share are kept between calls, up to this many bytes.
_SHARED_BYTES = 2 << 30


@dataclass(frozen=True)
class _Pair:
    """One batch against one reference for each row; tensors [K, ...], one for each layer."""

    contributions: list[Tensor]
    hypothetical: list[Tensor | None]
    multipliers: list[Tensor]
    reference_output: Tensor
    completeness_error: Tensor


@dataclass(frozen=True, eq=False)
class Task:
    """What one call explains: target and prediction nodes, and the layers that get scores."""

    plan: Plan
    target: int
    prediction: int
    layers: tuple[int, ...]
    keep: frozenset[int]


class BatchScorer:
    """Scores batches; the input's forward values serve all its references.

    Parameters
    ----------
    plan : Plan
        The recording, and the rule of every node.
    rule : str
        Name of the rule.
    steps : int
        Gradients for each pair; 0 for DeepLIFT's own rules, 1 for the gradient at the input.
    channel_axis : int or None
        Of the inputs; None to find it.
    """

    def __init__(self, plan: Plan, rule: str, steps: int, channel_axis: int | None) -> None:
        self._plan = plan
        self._rule = rule
        self._steps = steps
        self._channel_axis = channel_axis
        self._float64_plan: Plan | None = None
        self._float64: dict[Task, Task] = {}
        self._shared: dict[Any, tuple[tuple[Tensor, ...], dict[int, Any]]] = {}

    def score(
        self, task: Task, rows: list[Tensor], references: list[Tensor], shared: bool, per_reference: bool
    ) -> Attribution:
        """Scores of one batch; rows that float32 rounds beyond the tolerance come from float64.

        That takes contributions that cancel to less than a thousandth of their size, and is rare.
        """
        result = self._batch(task, rows, references, shared, per_reference)
        if self._steps or rows[0].dtype != torch.float32 or rows[0].device.type == "mps":
            return result
        error = relative_error(result.completeness_error, result.output, result.reference_output)
        beyond = (error > TOLERANCE[torch.float32]).any(1)
        if not bool(beyond.any()):
            return result
        exact = self._batch(
            self._in_float64(task),
            [tensor.double() for tensor in rows],
            [tensor.double() for tensor in references],
            False,
            per_reference,
        )
        return Attribution(
            *(
                _choose(beyond, getattr(exact, item.name), getattr(result, item.name))
                for item in fields(Attribution)
            )
        )

    def _in_float64(self, task: Task) -> Task:
        """The same task on a copy of the recording in float64: its nodes are at the same places."""
        if task not in self._float64:
            graph = self._plan.graph
            if self._float64_plan is None:
                twin = graph.empty_twin()
                self._float64_plan = Plan(twin, self._plan.preset, self._plan.layer_rules)
            plan = self._float64_plan
            plan.graph.follow(graph, torch.float64)
            if task.layers != tuple(graph.inputs):
                plan = plan.scoring(task.layers[0])
            self._float64[task] = replace(task, plan=plan)
        return self._float64[task]

    def _batch(
        self, task: Task, rows: list[Tensor], references: list[Tensor], shared: bool, per_reference: bool
    ) -> Attribution:
        """Scores of one batch of K rows, padding included."""
        x = task.plan.graph.run(rows, [task.target, task.prediction], task.keep)
        pairs = []
        for place in range(references[0].shape[1]):
            reference = [tensor[:, place].contiguous() for tensor in references]
            pairs.append(
                self._pair(task, x, self._reference_values(task, reference, place if shared else None))
            )

        def over_references(name: str) -> list[Tensor | None]:
            columns = zip(*(getattr(pair, name) for pair in pairs), strict=True)
            combine = _stack if per_reference else _mean
            return [None if column[0] is None else combine(column) for column in columns]

        return Attribution(
            over_references("contributions"),
            over_references("hypothetical"),
            over_references("multipliers"),
            x[task.target],
            torch.stack([pair.reference_output for pair in pairs], 1),
            x[task.prediction],
            torch.stack([pair.completeness_error for pair in pairs], 1),
        )

    def _reference_values(self, task: Task, reference: list[Tensor], place: int | None) -> dict[int, Any]:
        """Forward values at one reference; those of a shared reference are kept for the next batch."""
        graph = task.plan.graph
        if place is None:
            return graph.run(reference, [task.target], task.keep)
        key = (task.target, task.layers, place)
        known = self._shared.get(key)
        rows = tuple(tensor[:1] for tensor in reference)
        if known is not None and all(map(torch.equal, known[0], rows)):
            return known[1]
        values = graph.run(reference, [task.target], task.keep)
        self._shared[key] = (tuple(row.clone() for row in rows), values)
        if sum(_bytes(kept) for _, kept in self._shared.values()) > _SHARED_BYTES:
            del self._shared[key]
        return values

    def _pair(self, task: Task, x: dict[int, Any], reference: dict[int, Any]) -> _Pair:
        """Contributions of one batch against one reference for each row."""
        found = self._scores(task, x, reference)
        contributions = [found[index].contribution for index in task.layers]
        hypothetical = []
        for index in task.layers:
            here, there, m = x[index], reference[index], found[index].multiplier
            axis = _channel_axis(here, self._channel_axis) if index in task.plan.graph.inputs else None
            hypothetical.append(None if axis is None else _hypothetical(m, here, there, axis))
        # In float64, so that what is reported is the scores' error and not that of adding them up.
        flat = [item.reshape(item.shape[0], -1) for item in contributions]  # an input may be a number a row
        total = sum(item.sum(1, dtype=torch.float64) for item in flat)
        error = total - (x[task.target].double() - reference[task.target].double())
        return _Pair(
            contributions,
            hypothetical,
            [found[index].multiplier for index in task.layers],
            reference[task.target],
            error.to(x[task.target].dtype),
        )

    def _scores(self, task: Task, x: dict[int, Any], reference: dict[int, Any]) -> dict[int, Score]:
        plan = task.plan
        if not self._steps:
            return scores(plan, task.target, task.layers, x, reference)
        at_x = [x[index] for index in task.layers]
        at_reference = [reference[index] for index in task.layers]
        fractions = (
            [1.0] if self._rule == "gradient" else [(k + 0.5) / self._steps for k in range(self._steps)]
        )
        total: dict[int, Tensor] = {}
        for fraction in fractions:
            point = [
                there + fraction * (here - there) for here, there in zip(at_x, at_reference, strict=True)
            ]
            for index, gradient in gradients(plan.graph, task.target, point).items():
                total[index] = total[index] + gradient if index in total else gradient
        means = {index: value / len(fractions) for index, value in total.items()}
        return {index: Score(mean, mean * (x[index] - reference[index])) for index, mean in means.items()}


def _channel_axis(value: Tensor, given: int | None) -> int | None:
    if given is not None:
        return given % value.dim()
    axes = [1, value.dim() - 1, *range(2, value.dim() - 1)]
    return next((axis for axis in axes if 0 < axis < value.dim() and value.shape[axis] == 4), None)


def _hypothetical(m: Tensor, x: Tensor, reference: Tensor, axis: int) -> Tensor:
    """m_b - sum_k ref_k m_k; 0 where neither the sequence nor the reference has a base."""
    score = m - (reference * m).sum(axis, keepdim=True)
    empty = ((x == 0) & (reference == 0)).all(axis, keepdim=True)
    return score.masked_fill(empty, 0)


def _choose(rows: Tensor, chosen: Any, other: Any) -> Any:
    """``chosen`` in these rows [K], ``other`` elsewhere and in its precision."""
    if isinstance(other, list):
        return [_choose(rows, *pair) for pair in zip(chosen, other, strict=True)]
    if other is None:
        return None
    return torch.where(rows.reshape(-1, *(1 for _ in other.shape[1:])), chosen.to(other.dtype), other)


def _mean(column: Sequence[Tensor]) -> Tensor:
    return sum(column[1:], start=column[0]) / len(column)


def _stack(column: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(column), 1)


def _bytes(values: Mapping[int, Any]) -> int:
    tensors = [t for v in values.values() for t in (v if isinstance(v, (tuple, list)) else (v,))]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))
