"""The main job: sequences -> references -> scores -> outputs, in batches of a fixed number of rows.

One thread reads sequences and makes their references, ahead of the main thread, which runs the model. Another
keeps each finished batch, compressed on several threads, while the model is at the next. When all are there,
the outputs are put together from what was kept.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deeplift_cli.errors import OutOfMemoryError, UserError
from deeplift_cli.models import ModelFile
from deeplift_cli.models.explainer import Explained, chosen_device, explain, read_model
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.outputs.bigwig import write_bigwig
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.other_divisions import other_division
from deeplift_cli.outputs.pieces import DamagedPieceError
from deeplift_cli.outputs.publish import check_writable
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.workspace import Workspace, begun_outputs, clean_up
from deeplift_cli.process.failures import is_about_memory
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.run.batch_loop import Job
from deeplift_cli.run.batches import Records
from deeplift_cli.run.fingerprint import fingerprint
from deeplift_cli.run.prepared_batches import OBSERVED_ROWS, about_references, make_reference
from deeplift_cli.run.summary import Completeness, Summary
from deeplift_cli.sequences import FastaSource, Source, open_prepared_source, open_source
from deeplift_cli.sequences.cache import CacheError
from deeplift_cli.threads.prefetch import Prefetch
from deeplift_core.accuracy.completeness import TOLERANCE
from deeplift_references import Reference

Progress = Callable[[int, int], None]

_EXEMPT = ("gradient", "integrated-gradients")
_SEQUENCES = "the content of the genome at these regions"
# One is ready, one in the making: with 20 references a batch of 64 sequences of 2,114 bp takes 43 MB.
_BATCHES_AHEAD = 2


def score(options: ScoreOptions, screen: Screen, progress: Progress) -> tuple[Summary, list[Path]]:
    """Run one job, or resume one.

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
        If a file, model or output cannot be used. Nothing is then left under the outputs' names; batches that
        were finished are kept beside them, whatever the error, and the next run of the same job resumes from
        them.
    """
    started = time.perf_counter()
    written = output_paths(options)
    _check_division(options)
    clean_up([options.named(options.out, spec) for spec in options.targets])
    _check_outputs(written, options)
    with step("reading sequences", options.records):
        source = _open_source(options, screen)
        sizes = _chrom_sizes(options, source)
    with step("reading the model", options.model):
        model = read_model(options, screen)
    job_is = fingerprint(options, model.sha256, chosen_device(options.device).type)
    summary = Summary(
        {spec.label: _completeness(options) for spec in options.targets},
        exempt=options.rule.partition(":")[0] in _EXEMPT,
        started=started,
    )
    with deferred(), _workspaces(options, job_is, screen) as workspaces:
        _check_outputs(written, options)  # once more, now that no other run is at them
        with interruptible():
            with step("recording the model", options.model):
                explained = _explain(options, model, source, workspaces, screen)
            records = Records(options, source, explained)
            if options.shard is not None:
                records.find_index(screen.note)
            if sizes is not None:
                records.check_places(sizes)
            reference = _observed_reference(options, records, explained.length)
            usable = _survey(options, records, reference, workspaces, job_is)
        with ExitStack() as stack:
            job = Job(options, explained, reference, records, usable, workspaces, job_is, summary, stack)
            summary.start_scoring()
            _run(job, written, lambda: progress(job.done, job.n_records))
            summary.rescoring_stopped = explained.scorer.rescoring_stopped
        if sizes is not None:
            with interruptible():
                _write_bigwigs(options, sizes, workspaces)
        next(iter(workspaces.values())).mark_published()
    summary.finish()
    return summary, written


def _survey(
    options: ScoreOptions,
    records: Records,
    reference: Reference,
    workspaces: Mapping[TargetSpec, Workspace],
    job_is: dict[str, Any],
) -> int | None:
    """How many records can be scored, where that has to be known before all have been: for a shard.

    Shards, and references that depend on the whole input, depend on sequences that this run may not score. A
    FASTA file's digest stands for them; those of a genome get one here.
    """
    if options.shard is None and not (reference.needs_observation and options.genome):
        return None
    count, digest = records.survey()
    if options.genome is not None:
        job_is[_SEQUENCES] = f"sha256:{digest}"
        for workspace in workspaces.values():
            workspace.confirm(_SEQUENCES, job_is[_SEQUENCES])
    return count


def _run(job: Job, written: Sequence[Path], progress: Callable[[], None]) -> None:
    """Score everything, batch by batch. A signal waits until the batch at hand is finished and safe."""
    with Prefetch(job.batches(), _BATCHES_AHEAD) as batches:
        for batch in batches:
            job.take(batch)
            progress()
            check_stopped()
    job.publish(written)


@contextmanager
def _workspaces(
    options: ScoreOptions, job_is: Mapping[str, Any], screen: Screen
) -> Iterator[dict[TargetSpec, Workspace]]:
    """Where finished batches are kept, for each target; says what is kept where a run ends early."""
    with ExitStack() as stack:
        spaces = {}
        for spec in options.targets:
            out = options.named(options.out, spec)
            share = {"--shard": None if options.shard is None else str(options.shard)}
            space = Workspace(out, {**job_is, **share}, resume=options.resume, note=screen.note)
            spaces[spec] = stack.enter_context(space)
        try:
            yield spaces
        except BaseException as error:
            kept = min((space.kept() for space in spaces.values()), default=0)
            if kept:
                screen.note(f"{kept:,} finished batches are kept: {_how_to_resume(error)}")
            raise


def _how_to_resume(error: BaseException) -> str:
    """What to do so that the batches that are kept are used: no promise where the same would happen again."""
    if isinstance(error, OutOfMemoryError) or is_about_memory(error):
        return (
            "the same command resumes from them where more memory is free, while another --batch-size "
            "starts over"
        )
    passing = isinstance(error, OSError) or not isinstance(error, Exception) or "new thread" in str(error)
    if passing or isinstance(error.__cause__, OSError | DamagedPieceError):
        return "the same command resumes from them"
    return (
        "a run with the same model, input and options that change scores resumes from them, but this same "
        "command is likely to fail again"
    )


def _explain(
    options: ScoreOptions,
    model: ModelFile,
    source: Source,
    workspaces: Mapping[TargetSpec, Workspace],
    screen: Screen,
) -> Explained:
    """Record the model, deciding what is left open as an earlier run did."""
    open_options = ("batch_size", "compile")
    decided: Mapping[str, Any] = next(iter(workspaces.values())).decisions
    explained = explain(replace(options, **decided), model, source.first_length, source.n_records, screen)
    now = (explained.batch_size, "on" if explained.is_compiled else "off")
    for workspace in workspaces.values():
        workspace.decide(dict(zip(open_options, now, strict=True)))
    return explained


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
        scores = options.named(options.out, spec)
        paths += [scores, *companions(scores)]
        if options.bigwig is not None:
            paths.append(options.named(options.bigwig, spec))
    if options.save_references is not None:
        paths.append(options.named(options.save_references))
    return paths


def _check_division(options: ScoreOptions) -> None:
    """Refuse a number of shards that is only the size of the array at hand where another division lies."""
    shard = options.shard
    if shard is None or not shard.is_guess:
        return
    with step("looking for other shards", options.out):
        found = other_division(options.out, shard.count)
    if found is not None:
        path, count = found
        raise UserError(
            f"--shard auto takes this array for a whole job of {shard.count} shards, but {path} belongs to a "
            f"job of {count}: give --shard auto/{count} to run tasks of that job again, or "
            f"auto/{shard.count} to divide it anew"
        )


def _check_outputs(paths: list[Path], options: ScoreOptions) -> None:
    """Refuse what cannot be written; what an interrupted run had begun to publish may be replaced."""
    outs = [options.named(options.out, spec) for spec in options.targets]
    try:
        check_writable(paths, True, options.inputs())
        begun = {path for out in outs for path in begun_outputs(out)} if options.resume else set()
        others = [path for path in paths if path.absolute() not in begun]
        check_writable(others, options.overwrite)
    except OSError as error:  # a name that is too long
        raise UserError(f"output {options.out} cannot be written: {error}; give another name") from error


def _open_source(options: ScoreOptions, screen: Screen) -> Source:
    files = (options.fasta, options.genome, options.regions)
    if options.shard is not None:
        with suppress(CacheError):  # the files are then read here, as a whole job reads them
            return open_prepared_source(*files, screen.note)
    return open_source(*files, screen.note)


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


def _observed_reference(options: ScoreOptions, records: Records, length: int) -> Reference:
    """The chosen references; where they depend on the whole input, after its index or a pass over it."""
    reference = make_reference(options, length)
    if reference.needs_observation:
        with about_references(), step("reading sequences", options.records):
            counts = records.base_counts()
            if counts is not None and reference.observe_counts(counts):
                return reference
            for batch in records.batches(OBSERVED_ROWS):
                reference.observe(batch.sequences)
    return reference


def _completeness(options: ScoreOptions) -> Completeness:
    return Completeness(TOLERANCE[getattr(torch, options.precision)], options.max_completeness_error)


def _write_bigwigs(
    options: ScoreOptions, sizes: dict[str, int], workspaces: Mapping[TargetSpec, Workspace]
) -> None:
    assert options.bigwig is not None
    for spec, workspace in workspaces.items():
        path = options.named(options.bigwig, spec)
        with step("writing", path):
            write_bigwig(
                path,
                options.named(options.out, spec),
                sizes,
                options.overlap,
                overwrite=True,  # whether it may be was checked before
                scratch=workspace.folder,
            )
