"""Scores of one batch against one reference for each row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.steps import Steps
from deeplift_core.results import Attribution


@dataclass(frozen=True)
class Pair:
    """One batch against one reference for each row.

    Attributes
    ----------
    contributions, hypothetical, multipliers : list of Tensor [K, ...]
        One for each layer.
    reference_output, completeness_error : Tensor [K]
    """

    contributions: list[Tensor]
    hypothetical: list[Tensor | None]
    multipliers: list[Tensor]
    reference_output: Tensor
    completeness_error: Tensor

    @classmethod
    def of(cls, scores: Attribution, number: int) -> "Pair":
        """One reference's part of scores by reference, which have one result for each layer."""
        return cls(
            [layer[:, number] for layer in scores.contributions],
            [None if layer is None else layer[:, number] for layer in scores.hypothetical],
            [layer[:, number] for layer in scores.multipliers],
            scores.reference_output[:, number],
            scores.completeness_error[:, number],
        )

    def with_rows(self, rows: Tensor, other: "Pair", places: Tensor) -> "Pair":
        """The same with ``rows`` [M] taken from ``places`` [M] of another, in this one's precision."""

        def replaced(mine: Tensor, theirs: Tensor) -> Tensor:
            return mine.index_copy(0, rows, theirs[places].to(mine.dtype))

        def each(mine: list[Tensor], theirs: list[Tensor]) -> list[Tensor]:
            return [replaced(*layer) for layer in zip(mine, theirs, strict=True)]

        return Pair(
            each(self.contributions, other.contributions),
            [
                None if mine is None or theirs is None else replaced(mine, theirs)
                for mine, theirs in zip(self.hypothetical, other.hypothetical, strict=True)
            ],
            each(self.multipliers, other.multipliers),
            replaced(self.reference_output, other.reference_output),
            replaced(self.completeness_error, other.completeness_error),
        )


def score_pairs(steps: Steps, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[Pair]:
    """Scores of each task in turn; the values are taken out of ``reference``, as `Steps.walks` does."""
    ends = [(x[task.target], reference[task.target]) for task in steps.tasks]
    for (output, reference_output), found in zip(ends, steps.walks(x, reference), strict=True):
        # In float64, so that what is reported is the scores' error and not that of adding them up.
        flat = [item.contribution.reshape(len(output), -1) for item in found]
        total = sum(item.sum(1, dtype=torch.float64) for item in flat)
        error = total - (output.double() - reference_output.double())
        dtype = torch.promote_types(output.dtype, torch.float32)
        yield Pair(
            [item.contribution for item in found],
            [item.hypothetical for item in found],
            [item.multiplier for item in found],
            reference_output.to(dtype),
            error.to(dtype),
        )
