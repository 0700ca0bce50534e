"""The batch loop of `deeplift score`: it scores each batch for each target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.models.explainer import Explained
from deeplift_cli.models.scorer import Scores
from deeplift_cli.outputs.datasets import COMPLETENESS, IDENTICAL, REFERENCE_OUTPUT
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batches import Batch
from deeplift_cli.run.checkpoint import Checkpoint
from deeplift_cli.run.finite_scores import reasons_to_skip
from deeplift_cli.run.loop import ContributionLoop
from deeplift_cli.run.plan import RunPlan
from deeplift_cli.run.references import PreparedBatch
from deeplift_cli.run.summary import Summary, relative_completeness_error
from deeplift_cli.sequences import Skipped
from deeplift_cli.sequences.encode import reverse_complement
from deeplift_cli.threads.background import Background

_OUTPUT = "qc/output"


@dataclass(frozen=True)
class _Scored:
    """A scored batch that is not saved yet.

    Attributes
    ----------
    whole : Batch
        All records of the batch.
    batch, found, identical
        The records that have references and finite scores, the scores of these records for each target, and
        the number of references that equal each of these records.
    skipped : list of Skipped
        All other records.
    references : float32 array [N, R, 4, L], or None
        The references of the records with scores, if references are to be saved.
    """

    whole: Batch
    batch: Batch
    found: Sequence[Scores]
    identical: npt.NDArray[np.int64]
    skipped: Sequence[Skipped]
    references: npt.NDArray[np.float32] | None


class BatchLoop(ContributionLoop[_Scored]):
    """Scores the batches of a run.

    Parameters
    ----------
    plan : RunPlan
    explained : Explained
        The model.
    checkpoint : Checkpoint
        The checkpoint, in the state RUNNING.
    saved : ReferenceFile or None
        The file for the references of each sequence, if they are to be saved.
    summary : Summary
        The loop adds the counts of the run to this summary.
    """

    def __init__(
        self,
        plan: RunPlan,
        explained: Explained,
        checkpoint: Checkpoint,
        saved: ReferenceFile | None,
        summary: Summary,
    ) -> None:
        super().__init__(explained.options.model, checkpoint.finished, checkpoint.skipped, saved)
        self._labels = [spec.label for spec in plan.targets]
        self._dtype = plan.layout.dtype
        self._has_references = plan.layout.has_references
        self._explained = explained
        self._checkpoint = checkpoint
        self._summary = summary

    def _n_done(self) -> int:
        return self._summary.scored + self._skipped.count

    def _count(self, scored: _Scored) -> None:
        self._count_numbers(
            [
                {
                    COMPLETENESS: scores.completeness_error,
                    _OUTPUT: scores.output,
                    REFERENCE_OUTPUT: scores.reference_output,
                    IDENTICAL: scored.identical,
                }
                for scores in scored.found
            ]
        )

    def _resume(self, item: PreparedBatch, background: Background) -> None:
        """Add the results that an earlier run saved for a batch to the summary."""
        finished = self._checkpoint.finished_batch(item.batch)
        self._leave_out(finished.skipped)
        self._save_again(item, finished.skipped, background)
        self._summary.resumed += len(item.batch.regions) - len(finished.skipped)
        self._count_numbers(finished.numbers)

    def _scored(self, item: PreparedBatch) -> _Scored:
        """Score a batch; records without references or finite scores are left out."""
        whole, references, identical = item.batch, item.references, item.identical
        assert references is not None
        assert identical is not None
        records = [region.index for region in whole.regions]
        found = self._explained.score(whole.sequences, references, records, item.expected)
        saved = self._to_save(references)
        reasons = reasons_to_skip(found, self._labels, self._dtype) | dict(item.without)
        if not reasons:
            return _Scored(whole, whole, found, identical, [], saved)
        kept, skipped = whole.divided(reasons)
        finite = [scores.rows(kept) for scores in found]
        saved = None if saved is None else saved[kept]
        return _Scored(whole, whole.rows(kept), finite, identical[kept], skipped, saved)

    def _save(self, scored: _Scored) -> None:
        """Save a scored batch for every target; runs on the background thread."""
        self._save_references(scored.references, scored.batch.sequences)
        stored = [_stored(scored.batch, scores, scored.identical) for scores in scored.found]
        self._checkpoint.add(scored.whole, stored, scored.skipped)

    def _count_numbers(self, counted: Sequence[Mapping[str, Any]]) -> None:
        """Add the arrays of a batch, by target and by name, to the summary."""
        self._summary.scored += len(counted[0][_OUTPUT])
        if not self._has_references:
            return
        for completeness, numbers in zip(self._summary.completeness.values(), counted, strict=True):
            parts = (numbers[name] for name in (COMPLETENESS, _OUTPUT, REFERENCE_OUTPUT))
            completeness.add(relative_completeness_error(*parts))
        self._summary.identical += int((counted[0][IDENTICAL] > 0).sum())


def _stored(batch: Batch, scores: Scores, identical: npt.NDArray[Any]) -> ScoredBatch:
    """Return the rows as the score file stores them, in the orientation of the genome."""
    sequences, hypothetical = batch.sequences, scores.hypothetical
    if batch.turned.any():
        sequences, hypothetical = (_turned(array, batch.turned) for array in (sequences, hypothetical))
    return ScoredBatch(
        batch.regions,
        sequences,
        hypothetical,
        scores.prediction,
        scores.output,
        scores.reference_output,
        scores.completeness_error,
        identical,
        scores.rescored,
        scores.standard_error,
        _reversed(scores.position_standard_error, batch.turned),
        _reversed(scores.fold_sd, batch.turned),
        scores.reference_correction,
        None if scores.mutant_differences is None else _turned(scores.mutant_differences, batch.turned),
    )


def _reversed(values: npt.NDArray[Any] | None, rows: npt.NDArray[np.bool_]) -> npt.NDArray[Any] | None:
    """Return values [N, L] with the positions of these rows in reverse order."""
    return None if values is None else np.where(rows[:, None], values[:, ::-1], values)


def _turned(array: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    turned = array.copy()
    turned[rows] = reverse_complement(array[rows])
    return turned
