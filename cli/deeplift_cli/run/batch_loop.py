"""One pass over the input: batches in, finished batches of every target out."""

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained
from deeplift_cli.models.scorer import Scores, reverse_complement
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.outputs.publish import Publication
from deeplift_cli.outputs.workspace import Workspace, begun_outputs
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batches import Batch, Records
from deeplift_cli.run.checkpoint import Finished
from deeplift_cli.run.finite_scores import reasons_to_skip
from deeplift_cli.run.prepared_batches import Earlier, Preparation, Prepared
from deeplift_cli.run.skipped_records import SkippedRecords
from deeplift_cli.run.summary import SHOWN_REASONS, Summary, relative_completeness_error
from deeplift_cli.sequences import Skipped
from deeplift_cli.sequences.names import printed
from deeplift_cli.threads.background import Background
from deeplift_references import Reference

# Finished batches that are being compressed and kept while the model is at the next one.
_BATCHES_BEHIND = 1


@dataclass(frozen=True)
class _Scored:
    """A scored batch on its way to the disc.

    Attributes
    ----------
    number : int
    whole : Batch
        All its records.
    batch, found, identical
        Those of them that have finite scores, their scores for each target, and how many of their references
        are equal to them.
    skipped : list of Skipped
        The others.
    references : float32 array [N, R, 4, L], or None
        Of those that have scores, where they are to be saved.
    """

    number: int
    whole: Batch
    batch: Batch
    found: Sequence[Scores]
    identical: npt.NDArray[np.int64]
    skipped: Sequence[Skipped]
    references: npt.NDArray[np.float32] | None


class Job:
    """The work on a share of the input's batches.

    A batch is kept on another thread while the next one is scored, so that a killed run loses the batch that
    it was at and at most the one before.

    Parameters
    ----------
    options : ScoreOptions
    explained : Explained
    reference : Reference
    records : Records
    usable : int or None
        How many of them can be scored; needed for a shard only.
    workspaces : dict of TargetSpec to Workspace
        Entered already.
    fingerprint : dict
        For the score file.
    summary : Summary
    stack : ExitStack
        What it opens is closed with this.
    """

    def __init__(
        self,
        options: ScoreOptions,
        explained: Explained,
        reference: Reference,
        records: Records,
        usable: int | None,
        workspaces: dict[TargetSpec, Workspace],
        fingerprint: dict[str, Any],
        summary: Summary,
        stack: ExitStack,
    ) -> None:
        self._options = options
        self._explained = explained
        self._reference = reference
        self._records = records
        self._fingerprint = fingerprint
        self._summary = summary
        self._workspaces = workspaces
        self._n_batches = 0
        self._share, self.n_records = self._find_share(usable)
        first = next(iter(workspaces.values()))
        self._saved = self._open_reference_file(first, stack)
        self._skipped = stack.enter_context(
            SkippedRecords(options.named(options.out), first.unusable, first.unscored, SHOWN_REASONS)
        )
        layout = ScoreLayout(explained.length, reference.n_references, explained.batch_size, options.dtype)
        self._finished = {
            spec: stack.enter_context(Finished(options.named(options.out, spec), workspace, layout))
            for spec, workspace in workspaces.items()
        }
        self._keeper = stack.enter_context(Background(_BATCHES_BEHIND))

    def _find_share(self, usable: int | None) -> tuple[range, int]:
        """The batches that this run is about, and how many records these are, about.

        The last share holds what comes after the last batch, too.
        """
        shard, rows = self._options.shard, self._explained.batch_size
        if shard is None or usable is None:
            return range(sys.maxsize), self._records.n_records
        share = shard.batches(-(-usable // rows))
        is_last = shard.number == shard.count
        return range(share.start, sys.maxsize) if is_last else share, len(share) * rows

    def _open_reference_file(self, workspace: Workspace, stack: ExitStack) -> ReferenceFile | None:
        if self._options.save_references is None:
            return None
        path = self._options.named(self._options.save_references)
        publication = stack.enter_context(Publication(workspace.folder))
        saved = stack.enter_context(ReferenceFile(publication.temporary(path), path))
        if self._reference.shared:
            saved.shared(self._reference.common(self._explained.length))
        return saved

    @property
    def done(self) -> int:
        """Records that need no more work: scored or skipped."""
        return self._summary.scored + self._skipped.count

    def batches(self) -> Generator[Prepared | Earlier, None, None]:
        """What `take` takes; it may be made on another thread."""
        saved = self._saved is not None
        preparation = Preparation(self._records, self._reference, self._options.records, saved=saved)
        return preparation.batches(
            self._explained.batch_size, self._share, self._earlier, self._skipped.add_unusable
        )

    def _earlier(self, number: int, batch: Batch) -> Earlier | None:
        """A batch that an earlier run has finished for every target."""
        found = [finished.earlier(number, batch) for finished in self._finished.values()]
        known = [item for item in found if item is not None]
        if len(known) < len(found):
            return None
        return Earlier(batch, [numbers for _, numbers in known], known[0][0].skipped, None)

    def take(self, item: Prepared | Earlier) -> None:
        """Score a batch for every target and hand it on, or count it where that is done.

        Raises
        ------
        UserError
            If it cannot be scored, or an earlier batch cannot be written.
        """
        self._n_batches += 1
        if isinstance(item, Earlier):
            self._resume(item)
            return
        with step(f"scoring batch {item.number + 1}", self._options.model):
            scored = self._score(item)
        for record in scored.skipped:
            self._skipped.add_unscored(record)
        self._keeper.hand_on(self._keep, scored)
        self._count(
            [
                {
                    "qc/completeness_error": scores.completeness_error,
                    "qc/output": scores.output,
                    "qc/reference_output": scores.reference_output,
                    "qc/identical_references": scored.identical,
                }
                for scores in scored.found
            ]
        )

    def _resume(self, item: Earlier) -> None:
        """Count what an earlier run finished."""
        for record in item.skipped:
            self._skipped.add_unscored(record)
        if item.references is not None:
            left_out = {record.index for record in item.skipped}
            kept = [row for row, region in enumerate(item.batch.regions) if region.index not in left_out]
            self._keeper.hand_on(self._save_references, item.references[kept], item.batch.sequences[kept])
        self._summary.earlier += len(item.batch.regions) - len(item.skipped)
        self._count(item.numbers)

    def _score(self, item: Prepared) -> _Scored:
        """Score a batch; records whose scores are not finite are left out of it."""
        whole, identical = item.batch, item.identical
        # One set for all is in the file already; what is not saved need not stay in memory for so long.
        references = None if self._saved is None or self._reference.shared else item.references
        found = self._explained.score(whole.sequences, item.references)
        labels = [spec.label for spec in self._options.targets]
        reasons = reasons_to_skip(found, labels, self._options.dtype)
        if not reasons:
            return _Scored(item.number, whole, whole, found, identical, [], references)
        kept = [row for row in range(len(whole.regions)) if row not in reasons]
        skipped = [
            Skipped(whole.regions[row].index, printed(whole.regions[row].name), whole.lines[row], reason)
            for row, reason in reasons.items()
        ]
        return _Scored(
            item.number,
            whole,
            whole.rows(kept),
            [scores.rows(kept) for scores in found],
            identical[kept],
            skipped,
            None if references is None else references[kept],
        )

    def _keep(self, scored: _Scored) -> None:
        """Bring a scored batch to the disc, for every target."""
        if scored.references is not None:
            self._save_references(scored.references, scored.batch.sequences)
        digest = scored.whole.digest
        for finished, scores in zip(self._finished.values(), scored.found, strict=True):
            stored = _stored(scored.batch, scores, scored.identical)
            finished.add(scored.number, digest, stored, scored.skipped)

    def _save_references(self, references: npt.NDArray[np.float32], sequences: npt.NDArray[np.int8]) -> None:
        if self._saved is not None and len(references):
            self._saved.append(references, sequences)

    def _count(self, counted: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        for completeness, numbers in zip(self._summary.completeness.values(), counted, strict=True):
            parts = (numbers[f"qc/{name}"] for name in ("completeness_error", "output", "reference_output"))
            completeness.add(relative_completeness_error(*parts))
        identical = counted[0]["qc/identical_references"]
        self._summary.scored += len(identical)
        self._summary.identical += int((identical > 0).sum())

    def publish(self, outputs: Sequence[Path]) -> None:
        """Make the score files, which are among these outputs.

        Raises
        ------
        UserError
            If there is not a single score, saying why the first record was skipped; or if a file cannot be
            written.
        """
        self._keeper.wait()
        self._skipped.close()
        self._summary.skipped, self._summary.examples = self._skipped.count, self._skipped.first
        numbers = range(self._share.start, self._share.start + self._n_batches)
        if self._summary.scored == 0 and self._options.shard is None:
            for finished in self._finished.values():
                finished.drop(numbers)
            raise UserError(self._nothing_left())
        for spec, finished in self._finished.items():
            path = self._options.named(self._options.out, spec)
            overwrite = self._options.overwrite or path.absolute() in begun_outputs(path)
            with step("writing", path):
                self._skipped.merge_into(self._workspaces[spec].skipped)
                finished.publish(numbers, self._attributes(spec), overwrite, outputs, check_stopped)

    def _nothing_left(self) -> str:
        first = next(iter(self._skipped.first), None)
        example = f"; the first, {first.name} (line {first.line}), {first.reason}" if first else ""
        genome = f" in genome {self._options.genome}" if self._options.genome is not None else ""
        skipped = f"{self._skipped.count:,} skipped{example}"
        # A record without finite scores says as much of the model as of itself.
        model = f" with {self._options.model}" if self._skipped.unscored else ""
        return f"no sequence is left to score of {self._options.records}{genome}{model}: {skipped}"

    def _attributes(self, spec: TargetSpec) -> dict[str, Any]:
        return self._options.as_attributes() | {
            "target": spec.index,
            "model_sha256": self._explained.model.sha256,
            "batch_size": self._explained.batch_size,
            "versions": {"deeplift": deeplift_version()}
            | {name: version(name) for name in ("torch", "numpy")},
            "fingerprint": self._fingerprint,
            "worst_relative_completeness_error": self._summary.completeness[spec.label].worst,
            "n_skipped": self._skipped.count,
        }


def _stored(batch: Batch, scores: Scores, identical: npt.NDArray[Any]) -> ScoredBatch:
    """Rows in genome orientation, as they are stored."""
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
    )


def _turned(array: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    turned = array.copy()
    turned[rows] = reverse_complement(array[rows])
    return turned
