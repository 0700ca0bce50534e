"""The main job: sequences -> references -> scores -> outputs, in batches of a fixed number of rows.

Three stages overlap: one thread reads sequences and makes their references, the main thread runs the model,
and each output compresses and writes on threads of its own.
"""

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import deeplift_references
from deeplift_cli.ahead import Ahead
from deeplift_cli.batches import Batch, Records, Source
from deeplift_cli.errors import UserError
from deeplift_cli.explaining import Explained, explain
from deeplift_cli.options import ScoreOptions
from deeplift_cli.outputs import (
    ScoredBatch,
    ScoreFile,
    check_writable,
    companions,
    read_chrom_sizes,
    write_bigwig,
)
from deeplift_cli.outputs.publish import Publication
from deeplift_cli.preparing import Preparation, Prepared
from deeplift_cli.reference_kinds.saved import ReferenceFile
from deeplift_cli.scoring import Scores, reverse_complement
from deeplift_cli.screen import Screen
from deeplift_cli.sequences import FastaSource, GenomeSource, Skipped
from deeplift_cli.stopping import check_stopped, deferred, interruptible
from deeplift_cli.summary import Completeness, Summary, relative_completeness_error
from deeplift_cli.target_specs import TargetSpec
from deeplift_core.completeness import TOLERANCE
from deeplift_references import Reference

Progress = Callable[[int, int], None]

_EXEMPT = ("gradient", "integrated-gradients")
# Rows of a first pass over the input, which runs no model.
_OBSERVED_ROWS = 256
# One is ready, one in the making: with 20 references a batch of 64 sequences of 2,114 bp takes 43 MB.
_BATCHES_AHEAD = 2


def score(options: ScoreOptions, screen: Screen, progress: Progress) -> tuple[Summary, list[Path]]:
    """Run one job.

    Parameters
    ----------
    options : ScoreOptions
        What to do.
    screen : Screen
        Gets lines that the user should read.
    progress : callable
        Gets the number of records done, and of all, after each batch.

    Returns
    -------
    summary : Summary
    written : list of Path
        The files that were written.

    Raises
    ------
    UserError
        If a file, model, record or output cannot be used; nothing is then left under the outputs' names.
    """
    started = time.perf_counter()
    written = output_paths(options)
    _check_outputs(written, options)
    source = _open_source(options, screen)
    sizes = _chrom_sizes(options, source)
    explained = explain(options, source.first_length, source.n_records, screen)
    records = Records(options, source, explained)
    if sizes is not None:
        records.check_places(sizes)
    reference = _make_reference(options, records, explained.length)
    summary = Summary(
        {spec.label: _completeness(options) for spec in options.targets},
        exempt=options.rule.partition(":")[0] in _EXEMPT,
        started=started,
    )
    with deferred(), ExitStack() as stack:
        job = _Job(options, explained, reference, summary, stack)
        summary.start_scoring()
        batches = stack.enter_context(Ahead(job.prepared(records), _BATCHES_AHEAD))
        with interruptible():
            for batch in batches:
                job.score(batch)
                progress(summary.scored + summary.skipped, source.n_records)
                check_stopped()
            job.finish()
    if sizes is not None:
        check_stopped()
        _write_bigwigs(options, sizes)
    summary.finish()
    return summary, written


def output_paths(options: ScoreOptions) -> list[Path]:
    """Every file that a run with these options writes.

    Raises
    ------
    UserError
        If several targets would be written to one file.
    """
    paths = []
    for out in (options.out, options.bigwig):
        if out is not None and len(options.targets) > 1 and "{target}" not in out.name:
            raise UserError(f"{out}: several targets need {{target}} in the output's name, one file for each")
    for spec in options.targets:
        scores = options.for_target(options.out, spec)
        paths += [scores, *companions(scores)]
        if options.bigwig is not None:
            paths.append(options.for_target(options.bigwig, spec))
    if options.save_references is not None:
        paths.append(options.save_references)
    return paths


def _check_outputs(paths: list[Path], options: ScoreOptions) -> None:
    try:
        check_writable(paths, options.overwrite, options.inputs())
    except (OSError, RuntimeError) as error:  # a name that is too long, links that go round in a circle
        raise UserError(f"output {options.out} cannot be written: {error}; give another name") from error


class _Job:
    """One pass over the input, with its open outputs."""

    def __init__(
        self,
        options: ScoreOptions,
        explained: Explained,
        reference: Reference,
        summary: Summary,
        stack: ExitStack,
    ) -> None:
        self._options = options
        self._explained = explained
        self._reference = reference
        self._summary = summary
        self._saved = self._open_reference_file(stack)
        self._files = {spec: stack.enter_context(self._score_file(spec)) for spec in options.targets}
        self._first_skipped: Skipped | None = None

    def _score_file(self, spec: TargetSpec) -> ScoreFile:
        attributes = self._options.as_attributes() | {
            "target": spec.index,
            "model_sha256": self._explained.model.sha256,
            "batch_size": self._explained.batch_size,
            "versions": {name: version(name) for name in ("deeplift", "torch", "numpy")},
        }
        return ScoreFile(
            self._options.for_target(self._options.out, spec),
            length=self._explained.length,
            n_references=self._reference.n_references,
            attrs=attributes,
            overwrite=self._options.overwrite,
        )

    def _open_reference_file(self, stack: ExitStack) -> ReferenceFile | None:
        if self._options.save_references is None:
            return None
        publication = stack.enter_context(Publication())
        return stack.enter_context(ReferenceFile(publication.temporary(self._options.save_references)))

    def prepared(self, records: Records) -> Generator[Prepared, None, None]:
        """Batches for `score`; they may be made on another thread."""
        preparation = Preparation(records, self._reference, self._saved)
        return preparation.batches(self._explained.batch_size, self._skip)

    def _skip(self, record: Skipped) -> None:
        """Note a record that is not scored, where batches are made."""
        self._first_skipped = self._first_skipped or record
        self._summary.skip(record)
        for file in self._files.values():
            file.skip(record)

    def score(self, prepared: Prepared) -> None:
        """Score one batch for every target and hand it to the outputs."""
        batch, identical = prepared.batch, prepared.identical
        found = self._explained.score(batch.sequences, prepared.references)
        for (spec, file), scores in zip(self._files.items(), found, strict=True):
            _check_finite(self._options.model, batch, scores)
            self._summary.completeness[spec.label].add(relative_completeness_error(scores))
            file.append(_scored(batch, scores, identical))
        self._summary.scored += len(batch.regions)
        self._summary.identical += int((identical > 0).sum())

    def finish(self) -> None:
        """Refuse to publish outputs without a single score.

        Raises
        ------
        UserError
            Saying why the first record was skipped.
        """
        if self._summary.scored == 0:
            why = self._first_skipped
            example = f"; the first, {why.name} (line {why.line}), {why.reason}" if why else ""
            raise UserError(f"no sequence is left to score: {self._summary.skipped:,} skipped{example}")
        for spec, file in self._files.items():
            done = self._summary.completeness[spec.label]
            file.set_attrs(
                {"worst_relative_completeness_error": done.worst, "n_skipped": self._summary.skipped}
            )


def _open_source(options: ScoreOptions, screen: Screen) -> Source:
    if options.fasta is not None:
        return FastaSource(options.fasta)
    assert options.genome is not None
    assert options.regions is not None
    return GenomeSource(options.genome, options.regions, screen.note)


def _chrom_sizes(options: ScoreOptions, source: Source) -> dict[str, int] | None:
    """Lengths of the chromosomes, if a bigWig is wanted."""
    if options.bigwig is None:
        return None
    if options.chrom_sizes is not None:
        return read_chrom_sizes(options.chrom_sizes)
    if isinstance(source, FastaSource):
        raise UserError(
            f"{options.bigwig}: with --fasta, bigWig needs --chrom-sizes (two columns: name, length)"
        )
    return source.chrom_sizes()


def _make_reference(options: ScoreOptions, records: Records, length: int) -> Reference:
    """The chosen references; where they depend on the whole input, after a first pass over it."""
    try:
        reference = deeplift_references.make(
            options.reference,
            n_references=options.n_references,
            seed=options.seed,
            frequencies=options.frequencies,
            length=length,
        )
        if reference.needs_observation:
            for batch in records.batches(_OBSERVED_ROWS):
                reference.observe(batch.sequences)
    except ValueError as error:
        raise UserError(f"references: {error}") from error
    return reference


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


def _check_finite(model: Path, batch: Batch, scores: Scores) -> None:
    """Refuse scores that no file of scores should hold: NaN, infinity, or beyond float32."""
    if _are_finite(scores.output, scores.reference_output, scores.hypothetical):
        return
    for row, region in enumerate(batch.regions):
        if not _are_finite(scores.output[row], scores.reference_output[row], scores.hypothetical[row]):
            at_reference = np.asarray(scores.reference_output[row]).ravel()
            odd = next(
                (value for value in (scores.output[row], *at_reference) if not np.isfinite(value)), None
            )
            why = "its contributions overflow" if odd is None else f"the model's output is {odd}"
            raise UserError(
                f"{model} cannot be explained at record {region.index + 1} ({region.name}): {why} for it or "
                "a reference of it; check the model, or leave the record out"
            )


def _are_finite(*arrays: npt.NDArray[Any]) -> bool:
    """Whether all are numbers that float32 can hold; NaN is found by its comparisons, which are false."""
    largest = np.finfo(np.float32).max
    return all(-largest <= array.min() and array.max() <= largest for array in arrays)


def _completeness(options: ScoreOptions) -> Completeness:
    return Completeness(TOLERANCE[getattr(torch, options.precision)], options.max_completeness_error)


def _write_bigwigs(options: ScoreOptions, sizes: dict[str, int]) -> None:
    assert options.bigwig is not None
    for spec in options.targets:
        write_bigwig(
            options.for_target(options.bigwig, spec),
            options.for_target(options.out, spec),
            sizes,
            options.overlap,
            options.overwrite,
        )
