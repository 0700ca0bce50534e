"""Pairs that float32 rounds beyond the promised tolerance, computed again in float64.

Rounding errors exceed the tolerance where contributions cancel to less than a thousandth of their size. One
pair of some dozens or hundreds does so, and most batches with 20 references have such a pair. Only these
pairs are computed again, whichever rows and references they come from.

Float64 does not help where the error is not a rounding error, nor where an operation has a kernel for float32
only. Rescoring therefore has a budget: after `ATTEMPTS` pairs in a row that float64 did not bring within the
tolerance, rescoring stops for good, with a warning.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from deeplift_core.accuracy.completeness import TOLERANCE, relative_error
from deeplift_core.engine.pairs import TargetScores

# Scores in float64 of rows [M, ...] against one reference for each row [M, 1, ...].
Exactly = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], TargetScores]

# The number of pairs in a row without success after which rescoring stops.
ATTEMPTS = 32
# Threads that share an explainer share one count.
_LOCK = threading.Lock()


class AccuracyWarning(UserWarning):
    """Contributions of some pairs do not sum to their difference-from-reference as closely as promised."""


class Rescoring:
    """Rescores batches, and stops where rescoring does not help. Threads may share an object.

    Attributes
    ----------
    stopped : str
        The reason why rescoring stopped; "" while rescoring is on.
    """

    def __init__(self) -> None:
        self.stopped = ""
        self._failures = 0

    def __call__(
        self,
        scores: TargetScores,
        rows: Sequence[Tensor],
        references: Sequence[Tensor],
        exactly: Exactly,
    ) -> TargetScores:
        """Return one target's scores with the pairs beyond the tolerance replaced.

        Parameters
        ----------
        scores : TargetScores
            Computed in float32.
        rows, references : sequence of Tensor [K, ...] and [K, R, ...]
        exactly : callable
            Scores some pairs in float64.

        Returns
        -------
        TargetScores
            A replaced pair brings its exact output, which then holds for the other pairs of the same row,
            too. The errors of these pairs follow.
        """
        tried = torch.zeros_like(scores.rescored)
        while not self.stopped:
            places = (_beyond(scores) & ~tried).nonzero()
            if not len(places):
                break
            # The loop is there because a more exact output may bring further pairs of its row beyond the
            # tolerance.
            for some in torch.split(places, len(rows[0])):
                if self.stopped:
                    break
                scores = self._replace(scores, rows, references, some, exactly)
            tried[places[:, 0], places[:, 1]] = True
        return scores

    def _replace(
        self,
        scores: TargetScores,
        rows: Sequence[Tensor],
        references: Sequence[Tensor],
        places: Tensor,
        exactly: Exactly,
    ) -> TargetScores:
        row, number = places.unbind(1)
        try:
            exact = exactly(
                tuple(tensor[row] for tensor in rows),
                tuple(tensor[row, number, None] for tensor in references),
            )
        except (RuntimeError, TypeError) as problem:
            if isinstance(problem, torch.OutOfMemoryError):
                raise
            reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
            self._stop(f"the model cannot be computed in float64 ({reason})")
            return scores
        error = relative_error(
            exact.completeness_error, exact.output, exact.reference_output, exact.summed, torch.float64
        )
        helped = (error[:, 0] <= TOLERANCE[torch.float32]).to(places.device)
        self._count(helped)
        return _replaced(scores, exact, places, helped.nonzero().squeeze(1))

    def _count(self, helped: Tensor) -> None:
        with _LOCK:
            self._failures = 0 if bool(helped.any()) else self._failures + len(helped)
            enough = self._failures >= ATTEMPTS
        if enough:
            self._stop(f"float64 did not bring any of {self._failures} pairs within the tolerance")

    def _stop(self, reason: str) -> None:
        with _LOCK:
            if self.stopped:
                return
            self.stopped = reason
        warnings.warn(
            f"{reason}: pairs beyond the tolerance of summation-to-delta keep their float32 scores; "
            "Attribution.completeness_error shows them",
            AccuracyWarning,
            stacklevel=2,
        )


def _replaced(scores: TargetScores, exact: TargetScores, places: Tensor, chosen: Tensor) -> TargetScores:
    """Replace pairs by the ``chosen`` exact pairs, which lie at ``places`` [M, 2] (row, reference)."""
    if not len(chosen):
        return scores
    row, number = places[chosen].unbind(1)
    output = scores.output.index_copy(0, row, exact.output[chosen].to(scores.output.dtype))
    prediction = scores.prediction.index_copy(0, row, exact.prediction[chosen].to(scores.prediction.dtype))
    moved = (scores.output - output).to(scores.pairs[0].completeness_error.dtype)
    pairs = [replace(pair, completeness_error=pair.completeness_error + moved) for pair in scores.pairs]
    (found,) = exact.pairs
    for reference in set(number.tolist()):
        of_reference = number == reference
        pairs[reference] = pairs[reference].with_rows(row[of_reference], found, chosen[of_reference])
    rescored = scores.rescored.clone()
    rescored[row, number] = True
    return TargetScores(output, prediction, pairs, rescored)


def _beyond(scores: TargetScores) -> Tensor:
    """Return which pairs [K, R] are beyond the tolerance.

    Pairs with a value that is not finite are left out, because their relative error is NaN. More digits do
    not help a model that gives NaN or infinity, and such pairs must not use up the budget.
    """
    error = relative_error(scores.completeness_error, scores.output, scores.reference_output, scores.summed)
    return error > TOLERANCE[torch.float32]
