"""One pass over the input: batches in, finished batches of every target out."""

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.batches import Batch, Records
from deeplift_cli.behind import Behind
from deeplift_cli.errors import FutileError, UserError
from deeplift_cli.explaining import Explained
from deeplift_cli.finished import Finished
from deeplift_cli.options import ScoreOptions
from deeplift_cli.outputs import Publication, ScoredBatch, ScoreLayout, Workspace, begun_outputs
from deeplift_cli.preparing import Earlier, Preparation, Prepared
from deeplift_cli.reference_file import ReferenceFile
from deeplift_cli.scoring import Scores, reverse_complement
from deeplift_cli.sequences import Skipped
from deeplift_cli.stopping import check_stopped
from deeplift_cli.summary import Summary, relative_completeness_error
from deeplift_cli.target_specs import TargetSpec
from deeplift_references import Reference

# Finished batches that are being compressed and kept while the model is at the next one.
_BATCHES_BEHIND = 1


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
        self._first_skipped: Skipped | None = None
        self._n_batches = 0
        self._share, self.n_records = self._find_share(usable)
        self._saved = self._open_reference_file(next(iter(workspaces.values())), stack)
        layout = ScoreLayout(explained.length, reference.n_references, explained.batch_size, options.dtype)
        self._finished = {
            spec: stack.enter_context(Finished(options.named(options.out, spec), workspace, layout))
            for spec, workspace in workspaces.items()
        }
        self._keeper = stack.enter_context(Behind(_BATCHES_BEHIND))

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
        return stack.enter_context(ReferenceFile(publication.temporary(path), path))

    def batches(self) -> Generator[Prepared | Earlier, None, None]:
        """What `take` takes; it may be made on another thread."""
        preparation = Preparation(self._records, self._reference, self._saved)
        return preparation.batches(self._explained.batch_size, self._share, self._earlier, self._skip)

    def _skip(self, record: Skipped) -> None:
        """Note a record that is not scored, where batches are made."""
        self._first_skipped = self._first_skipped or record
        self._summary.skip(record)
        for finished in self._finished.values():
            finished.skip(record)

    def _earlier(self, number: int, batch: Batch) -> Earlier | None:
        """A batch that an earlier run has finished for every target."""
        found = [finished.earlier(number, batch) for finished in self._finished.values()]
        known = [numbers for numbers in found if numbers is not None]
        return Earlier(len(batch.regions), known) if len(known) == len(found) else None

    def take(self, item: Prepared | Earlier) -> None:
        """Score a batch for every target and hand it on, or count it where that is done.

        Raises
        ------
        UserError
            If scores are not finite, or those of an earlier batch cannot be written.
        """
        self._n_batches += 1
        if isinstance(item, Earlier):
            self._summary.earlier += item.rows
            self._count(item.numbers)
        else:
            self._count(self._score(item))

    def _score(self, item: Prepared) -> list[Mapping[str, npt.NDArray[Any]]]:
        found = self._explained.score(item.batch.sequences, item.references)
        for scores in found:
            _check_finite(self._options, item.batch, scores)
        # Not the whole item: its references need not stay in memory for so long.
        self._keeper.hand_on(self._keep, item.number, item.batch, found, item.identical)
        return [
            {
                "qc/completeness_error": scores.completeness_error,
                "qc/output": scores.output,
                "qc/reference_output": scores.reference_output,
                "qc/identical_references": item.identical,
            }
            for scores in found
        ]

    def _keep(
        self, number: int, batch: Batch, found: Sequence[Scores], identical: npt.NDArray[np.int64]
    ) -> None:
        """Bring a scored batch to the disc, for every target."""
        for finished, scores in zip(self._finished.values(), found, strict=True):
            finished.add(number, batch, _scored(batch, scores, identical))

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
        if self._summary.scored == 0 and self._options.shard is None:
            why = self._first_skipped
            example = f"; the first, {why.name} (line {why.line}), {why.reason}" if why else ""
            raise UserError(f"no sequence is left to score: {self._summary.skipped:,} skipped{example}")
        numbers = range(self._share.start, self._share.start + self._n_batches)
        for spec, finished in self._finished.items():
            path = self._options.named(self._options.out, spec)
            overwrite = self._options.overwrite or path.absolute() in begun_outputs(path)
            finished.publish(numbers, self._attributes(spec), overwrite, outputs, check_stopped)

    def _attributes(self, spec: TargetSpec) -> dict[str, Any]:
        return self._options.as_attributes() | {
            "target": spec.index,
            "model_sha256": self._explained.model.sha256,
            "batch_size": self._explained.batch_size,
            "versions": {name: version(name) for name in ("deeplift", "torch", "numpy")},
            "fingerprint": self._fingerprint,
            "worst_relative_completeness_error": self._summary.completeness[spec.label].worst,
            "n_skipped": self._summary.skipped,
        }


def _scored(batch: Batch, scores: Scores, identical: npt.NDArray[Any]) -> ScoredBatch:
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


def _check_finite(options: ScoreOptions, batch: Batch, scores: Scores) -> None:
    """Refuse scores that no file of scores should hold: NaN, infinity, or beyond its type."""
    if _can_be_stored(scores, slice(None), options.dtype):
        return
    for row, region in enumerate(batch.regions):
        if not _can_be_stored(scores, row, options.dtype):
            at_reference = np.asarray(scores.reference_output[row]).ravel()
            odd = next(
                (value for value in (scores.output[row], *at_reference) if not np.isfinite(value)), None
            )
            why = f"the model's output is {odd}"
            if odd is None:
                why = f"its contributions overflow {options.dtype}"
            raise FutileError(
                f"{options.model} cannot be explained at record {region.index + 1} ({region.name}): {why} "
                "for it or a reference of it; check the model, or leave the record out"
            )


def _can_be_stored(scores: Scores, rows: int | slice, dtype: str) -> bool:
    """Whether all are numbers that fit; NaN is found by its comparisons, which are false."""
    outputs = (scores.output[rows], scores.reference_output[rows])
    limits = [(array, "float32") for array in outputs] + [(scores.hypothetical[rows], dtype)]
    return all(
        -np.finfo(kind).max <= array.min() and array.max() <= np.finfo(kind).max for array, kind in limits
    )
