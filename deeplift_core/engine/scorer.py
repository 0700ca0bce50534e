"""Scores of one batch of exactly K rows against its references."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deeplift_core.accuracy.rescoring import Exactly, mended
from deeplift_core.engine.kernels import full_precision
from deeplift_core.engine.pairs import Pair, score_pairs
from deeplift_core.engine.shared_references import SharedValues
from deeplift_core.engine.steps import Steps, Task
from deeplift_core.results import Attribution


class BatchScorer:
    """Scores batches; forward values serve all targets, and those of the input all its references.

    Parameters
    ----------
    make_steps : callable
        Makes the two steps of scoring for some tasks.
    channel_axis : int or None
        Of the inputs; None to find it.
    """

    def __init__(
        self,
        make_steps: Callable[[Sequence[Task], int | None], Steps],
        channel_axis: int | None,
    ) -> None:
        self._make_steps = make_steps
        self._channel_axis = channel_axis
        self._steps: dict[tuple[Task, ...], Steps] = {}
        self._shared = SharedValues()

    def score(
        self,
        tasks: tuple[Task, ...],
        rows: list[Tensor],
        references: list[Tensor],
        exactly: Exactly | None,
        *,
        shared: bool,
        per_reference: bool,
    ) -> list[Attribution]:
        """Scores of one batch of K rows for each task, padding included.

        Pairs that float32 rounds beyond the tolerance come from ``exactly``; that is None where
        summation-to-delta is not promised.
        """
        if rows[0].dtype != torch.float32 or rows[0].device.type == "mps":
            exactly = None
        if tasks not in self._steps:
            self._steps[tasks] = self._make_steps(tasks, self._channel_axis)
        results = []
        with full_precision(rows[0].device):
            outputs, pairs = self._pairs(self._steps[tasks], rows, references, shared)
            for task, found in zip(tasks, pairs, strict=True):
                scored = outputs, found
                if exactly is not None:
                    scored = mended(exactly, task, *scored, rows, references)
                dtype = torch.promote_types(rows[0].dtype, torch.float32)
                results.append(_over_references(task, *scored, per_reference, dtype))
        return results

    def _pairs(
        self, steps: Steps, rows: list[Tensor], references: list[Tensor], shared: bool
    ) -> tuple[dict[int, Tensor], list[list[Pair]]]:
        """Targets and predictions at the input, and for each task its pairs; no other value is kept."""
        x = steps.forward(rows)
        self._shared.next_batch()
        pairs: list[list[Pair]] = [[] for _ in steps.tasks]
        for number in range(references[0].shape[1]):
            reference = [tensor[:, number].contiguous() for tensor in references]
            values = self._shared.at(steps, reference) if shared else steps.forward(reference)
            for found, pair in zip(pairs, score_pairs(steps, x, values), strict=True):
                found.append(pair)
        return {node: x[node] for node in steps.wanted}, pairs


def _over_references(
    task: Task, outputs: dict[int, Tensor], pairs: Sequence[Pair], per_reference: bool, dtype: torch.dtype
) -> Attribution:
    """Pairs of one task as one result; outputs and errors, which may be more exact, in this precision."""
    combine = _stack if per_reference else _mean

    def of(name: str) -> list[Tensor | None]:
        columns = zip(*(getattr(pair, name) for pair in pairs), strict=True)
        return [None if column[0] is None else combine(column) for column in columns]

    return Attribution(
        of("contributions"),
        of("hypothetical"),
        of("multipliers"),
        outputs[task.target].to(dtype),
        torch.stack([pair.reference_output for pair in pairs], 1).to(dtype),
        outputs[task.prediction].to(dtype),
        torch.stack([pair.completeness_error for pair in pairs], 1).to(dtype),
    )


def _mean(column: Sequence[Tensor]) -> Tensor:
    return sum(column[1:], start=column[0]) / len(column)


def _stack(column: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(column), 1)
