"""Scores of one batch against one reference for each row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.executable import Executable

Column = list[Tensor | None]


@dataclass(frozen=True)
class PairScores:
    """Scores of K pairs: one batch against one reference for each row, for one target.

    Attributes
    ----------
    contributions, hypothetical, multipliers : list of Tensor [K, ...]
        One entry for each layer; a hypothetical contribution is None for a layer without bases.
    reference_output : Tensor [K]
        The explained scalar at the reference.
    completeness_error : Tensor [K]
        Sum of the contributions - (output - reference output).
    summed : Tensor [K]
        Sum of the contributions' absolute values.
    """

    contributions: Column
    hypothetical: Column
    multipliers: Column
    reference_output: Tensor
    completeness_error: Tensor
    summed: Tensor

    def with_rows(self, rows: Tensor, other: "PairScores", places: Tensor) -> "PairScores":
        """Return the same pairs with ``rows`` [M] taken from the ``places`` [M] of another object."""

        def replaced(mine: Any, theirs: Any) -> Any:
            if isinstance(mine, list):
                return [replaced(*layer) for layer in zip(mine, theirs, strict=True)]
            if mine is None or theirs is None:
                return None
            return mine.index_copy(0, rows, theirs[places].to(mine.dtype))

        names = [item.name for item in fields(self)]
        return PairScores(**{name: replaced(getattr(self, name), getattr(other, name)) for name in names})


@dataclass(frozen=True)
class TargetScores:
    """Scores of one batch of K rows against all its references, for one target.

    Attributes
    ----------
    output, prediction : Tensor [K]
        The explained scalar at the input, and the same element of the model's own output.
    pairs : list of PairScores
        One for each reference.
    rescored : bool Tensor [K, R]
        Pairs whose scores were replaced by those of float64.
    """

    output: Tensor
    prediction: Tensor
    pairs: list[PairScores]
    rescored: Tensor

    @classmethod
    def joined(cls, parts: "Sequence[TargetScores]", rows: int) -> "TargetScores":
        """Join batches that have one reference each to one batch of ``rows`` rows, without padding."""

        def whole(values: Sequence[Any]) -> Any:
            if isinstance(values[0], list):
                return [whole(layer) for layer in zip(*values, strict=True)]
            return None if values[0] is None else torch.cat(list(values))[:rows]

        pairs = [part.pairs[0] for part in parts]
        pair = PairScores(**{f.name: whole([getattr(p, f.name) for p in pairs]) for f in fields(PairScores)})
        return cls(
            whole([part.output for part in parts]),
            whole([part.prediction for part in parts]),
            [pair],
            whole([part.rescored for part in parts]),
        )

    @property
    def reference_output(self) -> Tensor:
        """The explained scalar at each reference: Tensor [K, R]."""
        return torch.stack([pair.reference_output for pair in self.pairs], 1)

    @property
    def completeness_error(self) -> Tensor:
        """Sum of each pair's contributions - (output - reference output): Tensor [K, R]."""
        return torch.stack([pair.completeness_error for pair in self.pairs], 1)

    @property
    def summed(self) -> Tensor:
        """Sum of the absolute values of each pair's contributions: Tensor [K, R]."""
        return torch.stack([pair.summed for pair in self.pairs], 1)


def score_pairs(
    executable: Executable, x: Mapping[int, Any], reference: dict[int, Any]
) -> Iterator[PairScores]:
    """Yield the scores for each target in turn, given the forward values at the input and the reference."""
    plan = executable.plan
    ends = [(x[target], reference[target]) for target in plan.targets]
    scores = executable.scores(x, reference)
    for (output, reference_output), found in zip(ends, scores, strict=True):
        # The sums are in float64, so that the error is that of the scores and not that of this sum.
        flat = [item.contribution.reshape(len(output), -1) for item in found]
        total = sum(item.sum(1, dtype=torch.float64) for item in flat)
        error = total - (output.double() - reference_output.double())
        dtype = torch.promote_types(output.dtype, torch.float32)
        yield PairScores(
            [item.contribution for item in found],
            [item.hypothetical for item in found],
            [item.multiplier for item in found],
            reference_output.to(dtype),
            error.to(dtype),
            torch.stack([item.abs().sum(1) for item in flat]).sum(0).to(dtype),
        )
