"""The batch loop: it scores the pairs of each batch, and saves a batch while the model scores the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.run.batches import SkippedRecords
from deeplift_cli.run.checkpoint import SHOWN_REASONS
from deeplift_cli.run.finite_scores import reasons_to_skip
from deeplift_cli.run.references import PreparedBatch, count_identical, with_references
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.run.summary import Summary, relative_completeness_error
from deeplift_cli.sequences import Skipped
from deeplift_cli.sequences.names import printed
from deeplift_cli.threads.background import Background
from deeplift_cli.threads.prefetch import Prefetch
from deeplift_cli.variants import stored
from deeplift_cli.variants.pieces import Piece, VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.scoring import PairScores
from deeplift_cli.variants.source import PairBatch, VariantSource
from deeplift_cli.variants.variant_file import REF

Array = npt.NDArray[Any]

BATCHES_AHEAD = 2
_BATCHES_BEHIND = 1


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
    """

    whole: PairBatch
    batch: PairBatch
    scores: list[PairScores]
    identical: dict[str, Array]
    skipped: list[Skipped]


class VariantLoop:
    """Scores the batches of a run.

    Parameters
    ----------
    plan : VariantPlan
    workspace : Workspace
    pieces : VariantPieces
        The finished batches in the workspace.
    summary : Summary
        The loop adds the counts of the run to this summary.

    Attributes
    ----------
    n_batches : int
        Number of batches that are scored, those of earlier runs included.
    """

    def __init__(
        self, plan: VariantPlan, workspace: Workspace, pieces: VariantPieces, summary: Summary
    ) -> None:
        self._plan = plan
        self._workspace = workspace
        self._pieces = pieces
        self._summary = summary
        self.n_batches = 0

    def run(self, source: VariantSource, progress: Callable[[int], None]) -> None:
        """Score all variants, and make the table of those that are skipped.

        Parameters
        ----------
        source : VariantSource
        progress : callable
            Called after each batch with the number of variants that need no more work.

        Raises
        ------
        UserError
            If a batch cannot be read, scored or saved, or no variant is left.
        """
        plan, space = self._plan, self._workspace
        items = with_references(
            source.batches(plan.layout.batch_size, plan.layout.length),
            plan.reference,
            plan.options.vcf,
            finished=self._pieces.finished,
            saved=False,
            expected=False,
        )
        with SkippedTables(plan.paths.first, space.unusable, space.unscored, SHOWN_REASONS) as tables:
            with Prefetch(items, BATCHES_AHEAD) as prefetched, Background(_BATCHES_BEHIND) as background:
                for item in prefetched:
                    self._take(item, tables, background)
                    progress(self._summary.scored + tables.count)
                    check_stopped()
            self._summary.skipped, self._summary.examples = tables.count, tables.first
            self._summary.rescoring_stopped = plan.scorer.rescoring_stopped
            if not self._summary.scored:
                raise self._nothing_left(tables)
            tables.close()
            tables.merge_into(space.skipped)

    def _nothing_left(self, tables: SkippedTables) -> UserError:
        for number in range(self.n_batches):
            self._pieces.drop(number)
        first = next(iter(tables.first), None)
        example = f"; the first, {first.name} (line {first.line}), {first.reason}" if first else ""
        return UserError(
            f"no variant is left to score of {self._plan.options.vcf} in genome {self._plan.options.genome}: "
            f"{tables.count:,} skipped{example}"
        )

    def _take(
        self, item: PreparedBatch | SkippedRecords, tables: SkippedTables, background: Background
    ) -> None:
        if not isinstance(item, PreparedBatch):
            for record in item:
                tables.add_unusable(record)
            return
        batch = item.batch
        assert isinstance(batch, PairBatch)
        self.n_batches += 1
        if batch.number in self._pieces.finished:
            with self._pieces.checked(batch.number, batch.digest.hex()) as piece:
                self._resume(piece, tables)
            return
        with step(f"scoring batch {batch.number + 1}", self._plan.options.model):
            scored = self._scored(item, batch)
        for record in scored.skipped:
            tables.add_unscored(record)
        background.submit(self._save, scored)
        self._summary.scored += len(scored.batch.pairs)
        self._summary.identical += int((scored.identical[REF] > 0).sum())
        for label, pair in zip(self._plan.labels, scored.scores, strict=True):
            for name, found in zip(self._plan.alleles, (pair.ref, *pair.alts), strict=True):
                assert found.completeness_error is not None
                assert found.reference_output is not None
                self._count(f"{label} {name}", found.completeness_error, found.output, found.reference_output)

    def _count(self, name: str, error: Array, output: Array, at_references: Array) -> None:
        self._summary.completeness[name].add(relative_completeness_error(error, output, at_references))

    def _resume(self, piece: Piece, tables: SkippedTables) -> None:
        """Add the results that an earlier run saved for a batch to the summary."""
        for record in piece.head.skipped:
            tables.add_unscored(record)
        self._summary.resumed += len(piece.head.variants)
        self._summary.scored += len(piece.head.variants)
        self._summary.identical += int((piece[f"identical/{REF}"] > 0).sum())
        for target, label in enumerate(self._plan.labels):
            for name in self._plan.alleles:
                self._count(f"{label} {name}", *stored.completeness_of(piece, target, name))

    def _scored(self, item: PreparedBatch, batch: PairBatch) -> _Scored:
        """Score a batch; variants without references or finite scores are left out."""
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
        if not reasons:
            return _Scored(batch, batch, scores, identical, [])
        kept = [row for row in range(len(batch.pairs)) if row not in reasons]
        skipped = [
            Skipped(
                batch.pairs[row].variant.index,
                printed(batch.pairs[row].variant.name),
                batch.lines[row],
                reason,
            )
            for row, reason in sorted(reasons.items())
        ]
        identical = {name: counts[kept] for name, counts in identical.items()}
        return _Scored(batch, batch.rows(kept), [pair.rows(kept) for pair in scores], identical, skipped)

    def _save(self, scored: _Scored) -> None:
        """Save a scored batch; runs on the background thread."""
        batch = scored.batch
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
