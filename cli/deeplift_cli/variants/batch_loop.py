"""The batch loop of `deeplift variants`: it scores the pairs of each batch."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batches import SkippedRecords
from deeplift_cli.run.finite_scores import reasons_to_skip
from deeplift_cli.run.loop import ContributionLoop
from deeplift_cli.run.references import PreparedBatch, count_identical, with_references
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.run.summary import Summary, relative_completeness_error
from deeplift_cli.sequences import Skipped
from deeplift_cli.threads.background import Background
from deeplift_cli.variants import stored
from deeplift_cli.variants.pieces import VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.scoring import PairScores
from deeplift_cli.variants.source import PairBatch
from deeplift_cli.variants.variant_file import REF

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Scored:
    """A scored batch that is not saved yet.

    Attributes
    ----------
    whole : PairBatch
        All variants of the batch.
    batch, scores, identical
        The variants that have references and finite scores, their scores for each target, and the number of
        references that equal each of their windows, by allele.
    skipped : list of Skipped
        All other variants.
    references : float32 array [N, R, 4, L], or None
        The references of the variants with scores, if references are to be saved.
    """

    whole: PairBatch
    batch: PairBatch
    scores: list[PairScores]
    identical: dict[str, Array]
    skipped: list[Skipped]
    references: npt.NDArray[np.float32] | None


class VariantLoop(ContributionLoop[_Scored]):
    """Scores the batches of a run.

    Parameters
    ----------
    plan : VariantPlan
    pieces : VariantPieces
        The finished batches of the job.
    skipped : SkippedTables
        The tables of variants that have no scores.
    saved : ReferenceFile or None
        The file for the references of each variant, if they are to be saved.
    summary : Summary
        The loop adds the counts of the run to this summary.
    """

    def __init__(
        self,
        plan: VariantPlan,
        pieces: VariantPieces,
        skipped: SkippedTables,
        saved: ReferenceFile | None,
        summary: Summary,
    ) -> None:
        super().__init__(plan.options.model, pieces.finished, skipped, saved)
        self._plan = plan
        self._pieces = pieces
        self._summary = summary

    def items(self) -> Generator[PreparedBatch | SkippedRecords, None, None]:
        """Read the variants of this run, and make their references."""
        plan = self._plan
        return with_references(
            plan.part.source.batches(plan.layout.batch_size, plan.layout.length, plan.part.share),
            plan.reference,
            plan.options.vcf,
            finished=self._pieces.finished,
            saved=self._saved is not None,
            expected=False,
        )

    def _n_done(self) -> int:
        skipped = self._skipped
        return self._summary.scored + (skipped.count if self._plan.part.counts_skipped else skipped.unscored)

    def _count(self, scored: _Scored) -> None:
        self._summary.scored += len(scored.batch.pairs)
        self._summary.identical += int((scored.identical[REF] > 0).sum())
        for label, pair in zip(self._plan.labels, scored.scores, strict=True):
            for name, found in zip(self._plan.alleles, (pair.ref, *pair.alts), strict=True):
                assert found.completeness_error is not None
                assert found.reference_output is not None
                self._add(f"{label} {name}", found.completeness_error, found.output, found.reference_output)

    def _add(self, name: str, error: Array, output: Array, at_references: Array) -> None:
        self._summary.completeness[name].add(relative_completeness_error(error, output, at_references))

    def _resume(self, item: PreparedBatch, background: Background) -> None:
        """Add the results that an earlier run saved for a batch to the summary."""
        batch = item.batch
        with self._pieces.checked(batch.number, batch.digest.hex()) as piece:
            skipped = piece.head.skipped
            self._leave_out(skipped)
            self._save_again(item, skipped, background)
            self._summary.resumed += len(piece.head.variants)
            self._summary.scored += len(piece.head.variants)
            self._summary.identical += int((piece[f"identical/{REF}"] > 0).sum())
            for target, label in enumerate(self._plan.labels):
                for name in self._plan.alleles:
                    self._add(f"{label} {name}", *stored.completeness_of(piece, target, name))

    def _scored(self, item: PreparedBatch) -> _Scored:
        """Score a batch; variants without references or finite scores are left out."""
        batch = item.batch
        assert isinstance(batch, PairBatch)
        assert item.references is not None
        references = without_gaps(item.references, batch)
        scores = self._plan.scorer.score(batch, references)
        identical = {
            name: count_identical(references, letters)
            for name, letters in zip(self._plan.alleles, (batch.sequences, *batch.alts), strict=True)
        }
        reasons = dict(item.without)
        for place, name in enumerate(self._plan.alleles):
            found = [(pair.ref, *pair.alts)[place] for pair in scores]
            for row, reason in reasons_to_skip(found, self._plan.labels, self._plan.options.dtype).items():
                reasons.setdefault(row, f"{reason} (allele {name.partition('_')[0].upper()})")
        saved = self._to_save(item.references)
        if not reasons:
            return _Scored(batch, batch, scores, identical, [], saved)
        kept, skipped = batch.divided(reasons)
        identical = {name: counts[kept] for name, counts in identical.items()}
        saved = None if saved is None else saved[kept]
        rows = [pair.rows(kept) for pair in scores]
        return _Scored(batch, batch.rows(kept), rows, identical, skipped, saved)

    def _save(self, scored: _Scored) -> None:
        """Save a scored batch; runs on the background thread."""
        batch = scored.batch
        self._save_references(scored.references, batch.sequences)
        sequences = dict(zip(self._plan.alleles, (batch.sequences, *batch.alts), strict=True))
        arrays = stored.as_arrays(scored.scores, sequences, scored.identical, self._plan.options.dtype)
        self._pieces.save(scored.whole.number, scored.whole, batch, scored.skipped, arrays)


def without_gaps(references: npt.NDArray[np.float32], batch: PairBatch) -> npt.NDArray[np.float32]:
    """Remove the references' bases at positions where the window of one of the alleles has no base.

    References already have no base where REF has none. After an insertion or a deletion, an N of the genome
    has another index in the window of ALT. Both alleles keep the same references, and a position without a
    base contributes nothing.
    """
    gaps = batch.gaps
    if not gaps.any():
        return references
    each = references if references.ndim == 4 else references[None]
    found: npt.NDArray[np.float32] = each * ~gaps[:, None, None, :]
    return found
