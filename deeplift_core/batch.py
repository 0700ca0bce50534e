"""Scores of one batch of exactly K rows against its references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.completeness import TOLERANCE, relative_error
from deeplift_core.plan import Plan
from deeplift_core.results import Attribution
from deeplift_core.steps import Steps, Task

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


class BatchScorer:
    """Scores batches; forward values serve all targets, and those of the input all its references.

    Parameters
    ----------
    plan : Plan
        The recording, and the rule of every node.
    make_steps : callable
        Makes the two steps of scoring for some tasks.
    exact : bool
        Whether summation-to-delta is promised.
    channel_axis : int or None
        Of the inputs; None to find it.
    """

    def __init__(
        self,
        plan: Plan,
        make_steps: Callable[[Sequence[Task], int | None], Steps],
        *,
        exact: bool,
        channel_axis: int | None,
    ) -> None:
        self._plan = plan
        self._make_steps = make_steps
        self._exact = exact
        self._channel_axis = channel_axis
        self._steps: dict[tuple[Task, ...], Steps] = {}
        self._float64_plan: Plan | None = None
        self._float64: dict[Task, Steps] = {}
        self._shared: dict[Any, tuple[tuple[Tensor, ...], dict[int, Any]]] = {}

    def score(
        self,
        tasks: tuple[Task, ...],
        rows: list[Tensor],
        references: list[Tensor],
        *,
        shared: bool,
        per_reference: bool,
    ) -> list[Attribution]:
        """Scores of one batch for each task; rows that float32 rounds beyond the tolerance come from float64.

        That takes contributions that cancel to less than a thousandth of their size, and is rare.
        """
        if tasks not in self._steps:
            self._steps[tasks] = self._make_steps(tasks, self._channel_axis)
        results = self._batch(self._steps[tasks], rows, references, shared, per_reference)
        if not self._exact or rows[0].dtype != torch.float32 or rows[0].device.type == "mps":
            return results
        return [
            self._mended(task, result, rows, references, per_reference)
            for task, result in zip(tasks, results, strict=True)
        ]

    def _mended(
        self,
        task: Task,
        result: Attribution,
        rows: list[Tensor],
        references: list[Tensor],
        per_reference: bool,
    ) -> Attribution:
        error = relative_error(result.completeness_error, result.output, result.reference_output)
        beyond = (error > TOLERANCE[torch.float32]).any(1)
        if not bool(beyond.any()):
            return result
        double_rows, double_references = ([t.double() for t in tensors] for tensors in (rows, references))
        (exact,) = self._batch(self._in_float64(task), double_rows, double_references, False, per_reference)
        return Attribution(
            *(
                _choose(beyond, getattr(exact, item.name), getattr(result, item.name))
                for item in fields(Attribution)
            )
        )

    def _in_float64(self, task: Task) -> Steps:
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
            self._float64[task] = Steps([replace(task, plan=plan)], self._channel_axis)
        return self._float64[task]

    def _batch(
        self, steps: Steps, rows: list[Tensor], references: list[Tensor], shared: bool, per_reference: bool
    ) -> list[Attribution]:
        """Scores of one batch of K rows, padding included."""
        x = steps.forward(rows)
        pairs: list[list[_Pair]] = [[] for _ in steps.tasks]
        for number in range(references[0].shape[1]):
            reference = [tensor[:, number].contiguous() for tensor in references]
            values = self._reference_values(steps, reference, number if shared else None)
            for place, found in enumerate(pairs):
                found.append(_pair(steps, place, x, values))
        return [
            _over_references(task, x, found, per_reference)
            for task, found in zip(steps.tasks, pairs, strict=True)
        ]

    def _reference_values(self, steps: Steps, reference: list[Tensor], number: int | None) -> dict[int, Any]:
        """Forward values at one reference; those of a shared reference are kept for the next batch."""
        if number is None:
            return steps.forward(reference)
        key = (steps, number)
        known = self._shared.get(key)
        rows = tuple(tensor[:1] for tensor in reference)
        if known is not None and all(map(torch.equal, known[0], rows)):
            return known[1]
        values = steps.forward(reference)
        self._shared[key] = (tuple(row.clone() for row in rows), values)
        if sum(_bytes(kept) for _, kept in self._shared.values()) > _SHARED_BYTES:
            del self._shared[key]
        return values


def _pair(steps: Steps, place: int, x: dict[int, Any], reference: dict[int, Any]) -> _Pair:
    """Scores of one task for one batch against one reference for each row."""
    found = steps.walk(place, x, reference)
    target = steps.tasks[place].target
    # In float64, so that what is reported is the scores' error and not that of adding them up.
    flat = [item.contribution.reshape(x[target].shape[0], -1) for item in found]
    total = sum(item.sum(1, dtype=torch.float64) for item in flat)
    error = total - (x[target].double() - reference[target].double())
    dtype = torch.promote_types(x[target].dtype, torch.float32)
    return _Pair(
        [item.contribution for item in found],
        [item.hypothetical for item in found],
        [item.multiplier for item in found],
        reference[target].to(dtype),
        error.to(dtype),
    )


def _over_references(
    task: Task, x: dict[int, Any], pairs: Sequence[_Pair], per_reference: bool
) -> Attribution:
    """Pairs of one task as one result."""
    combine = _stack if per_reference else _mean
    dtype = pairs[0].reference_output.dtype

    def of(name: str) -> list[Tensor | None]:
        columns = zip(*(getattr(pair, name) for pair in pairs), strict=True)
        return [None if column[0] is None else combine(column) for column in columns]

    return Attribution(
        of("contributions"),
        of("hypothetical"),
        of("multipliers"),
        x[task.target].to(dtype),
        torch.stack([pair.reference_output for pair in pairs], 1),
        x[task.prediction].to(dtype),
        torch.stack([pair.completeness_error for pair in pairs], 1),
    )


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
