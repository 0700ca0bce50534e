"""The main job: sequences -> references -> scores -> outputs, in batches of a fixed number of rows.

Data flows one way. The reader (`batches`) yields batches and skipped records, and `references` adds the
references of each batch; both run on another thread, which prepares batches before the main thread needs
them. The batch loop (`batch_loop`) runs the model and passes the scores to the checkpoint (`checkpoint`),
which saves each finished batch. When all batches are finished, the score files are made of the saved batches,
and other outputs are made of the score files. The plan (`plan`) holds the values that all stages share.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import prod
from pathlib import Path

import torch

from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained, chosen_device
from deeplift_cli.models.fold_mean import LoadedModel, explain_models, read_models
from deeplift_cli.models.targets import need_the_model
from deeplift_cli.options.rules import takes_gradients
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.export import write_output
from deeplift_cli.outputs.publish import Publication
from deeplift_cli.outputs.workspace import clean_up
from deeplift_cli.process.progress import Progressed
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.signals import deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batch_loop import BatchLoop
from deeplift_cli.run.batches import Records
from deeplift_cli.run.checkpoint import Checkpoint
from deeplift_cli.run.fingerprint import fingerprint
from deeplift_cli.run.length import check_length
from deeplift_cli.run.output_paths import OutputPaths
from deeplift_cli.run.plan import RunPlan, make_plan
from deeplift_cli.run.references import observed_reference, with_references
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.run.summary import Completeness, Summary
from deeplift_cli.sequences import (
    FastaSource,
    GenomeSource,
    Sample,
    Source,
    make_selection,
    open_prepared_source,
    open_source,
)
from deeplift_cli.sequences.cache import CacheError
from deeplift_cli.threads.prefetch import Prefetch
from deeplift_core.accuracy.completeness import TOLERANCE
from deeplift_references import Reference

# One batch is ready, one in the making: with 20 references a batch of 64 sequences of 2,114 bp takes 43 MB.
_BATCHES_AHEAD = 2


def score(options: ScoreOptions, screen: Screen, progress: Progressed) -> tuple[Summary, list[Path]]:
    """Score the input of one job, or resume an interrupted job.

    Parameters
    ----------
    options : ScoreOptions
        The options of `deeplift score`.
    screen : Screen
        Shows lines that the user should read.
    progress : callable
        Called after each batch with the number of finished records and the number of all records.

    Returns
    -------
    summary : Summary
    written : list of Path
        The files that were written.

    Raises
    ------
    UserError
        If a file, model or output cannot be used. No file then has an output's name. Finished batches stay in
        folders beside the outputs, whatever the error, and the next run of the same job resumes from these
        batches.
    """
    started = time.perf_counter()
    outputs = None if need_the_model(options.targets) else _output_paths(options)
    with step("reading sequences", options.records):
        source = _open_source(options, screen)
        sizes = _chrom_sizes(options, source)
    models = read_models(
        options, screen, lambda _: options.length or source.first_length(), source.facts.n_records
    )
    if options.targets != models[0].targets.specs:
        options = replace(options, targets=models[0].targets.specs)
        outputs = None
    outputs = outputs or _output_paths(options)
    digests = [model.file.sha256 for model in models]
    job = fingerprint(options, digests, chosen_device(options.device).type)
    share = {"--shard": None if options.shard is None else str(options.shard)}
    summary = Summary(
        {} if options.is_mutagenesis else {spec.label: _completeness(options) for spec in options.targets},
        exempt=takes_gradients(options.rule),
        started=started,
        left_out=source.facts.n_left_out,
    )
    with (
        deferred(),
        Checkpoint(outputs.scores, {**job, **share}, resume=options.resume, note=screen.note) as checkpoint,
    ):
        outputs.check(options)  # once more, now that no other run works on them
        with interruptible():
            explained = _explain(options, models, source, checkpoint, screen)
            check_length(options, explained, source)
            records = Records(source, explained.length, strand_aware=options.strand_aware)
            if options.shard is not None:
                records.find_index(options.records, screen.note)
            if sizes is not None:
                records.check_places(sizes, padded=source.selection.fit or source.selection.pad)
            reference = observed_reference(options, records, explained.length)
            known = source.chrom_sizes() if sizes is None and isinstance(source, GenomeSource) else sizes
            plan = make_plan(options, outputs, job, explained, records, reference, known, checkpoint)
            checkpoint.start(plan.layout)
            summary.settings = _settings(options, explained, reference, source)
        summary.start_scoring()
        _score(options, plan, explained, records, reference, checkpoint, summary, progress)
        if sizes is not None:
            with interruptible():
                _write_bigwigs(options, plan, sizes, checkpoint)
        checkpoint.mark_published()
    summary.finish()
    return summary, outputs.all


def _output_paths(options: ScoreOptions) -> OutputPaths:
    """Return the names of all outputs, free of what an interrupted run left, and found writable."""
    outputs = OutputPaths.of(options)
    outputs.check_division(options)
    clean_up(list(outputs.scores.values()))
    outputs.check(options)
    return outputs


def _settings(
    options: ScoreOptions, explained: Explained, reference: Reference, source: Source
) -> dict[str, str]:
    """Return what the summary says of how sequences were scored."""
    sample = {} if options.sample is None else {"sample": _sample(options.sample, options.seed, source)}
    layers = f", and {len(options.layer_rules)} of layers" if options.layer_rules else ""
    folds = {"model": f"mean of {explained.n_models} folds"} if explained.n_models > 1 else {}
    inputs = explained.model.further
    further = {} if inputs is None else {"further inputs": str(inputs)}
    number = prod(explained.output_shape)
    chosen = f"; the first of {number:,}: --target chooses" if options.default_target and number > 1 else ""
    return (
        sample
        | folds
        | further
        | {
            "target": explained.explained + chosen,
            "rule": options.rule + layers,
            "reference": _references(options, reference),
            "window": f"{explained.length:,} bp",
        }
    )


def _references(options: ScoreOptions, reference: Reference) -> str:
    """Return what sequences are compared with."""
    if options.is_mutagenesis:
        return "in-silico mutagenesis: no references"
    variate = ", with a control variate" if options.control_variate else ""
    return f"{options.reference}, {reference.n_references:,} for each sequence{variate}"


def _sample(size: int, seed: int, source: Source) -> str:
    """Return which part of the input is scored."""
    total = source.facts.n_records
    if size > total:
        return f"all {total:,} records: the input has fewer than the {size:,} of --sample"
    return f"{size:,} of {total:,} records, drawn with seed {seed}"


def _explain(
    options: ScoreOptions,
    models: Sequence[LoadedModel],
    source: Source,
    checkpoint: Checkpoint,
    screen: Screen,
) -> Explained:
    """Record the models, with the batch size and the compilation that an earlier run may have chosen."""
    options = replace(options, **checkpoint.decisions)
    length = options.length
    explained = explain_models(
        options, models, lambda: length or source.first_length(), source.n_records, screen
    )
    checkpoint.keep_decisions(
        batch_size=explained.batch_size, compile="on" if explained.is_compiled else "off"
    )
    return explained


def _score(
    options: ScoreOptions,
    plan: RunPlan,
    explained: Explained,
    records: Records,
    reference: Reference,
    checkpoint: Checkpoint,
    summary: Summary,
    progress: Progressed,
) -> None:
    """Score every batch of the plan, and make the score files."""
    with _reference_file(plan, reference, checkpoint) as saved:
        loop = BatchLoop(plan, explained, checkpoint, saved, summary)
        items = with_references(
            records.batches(plan.layout.batch_size, plan.share),
            reference,
            options.records,
            finished=checkpoint.finished,
            saved=saved is not None,
            expected=options.control_variate,
        )
        with Prefetch(items, _BATCHES_AHEAD) as prefetched:
            loop.run(prefetched, _counted(plan, options, checkpoint, progress))
        summary.skipped, summary.examples = checkpoint.skipped.count, checkpoint.skipped.first
        summary.rescoring_stopped = explained.rescoring_stopped
        numbers = range(plan.share.start, plan.share.start + loop.n_batches)
        if summary.scored == 0 and options.shard is None:
            checkpoint.drop(numbers)
            raise UserError(_nothing_left(options, checkpoint.skipped))
        own = {
            spec: {
                "target": spec.stored,
                "output": output,
                "worst_relative_completeness_error": summary.worst_of(spec.label),
                "n_skipped": summary.skipped,
            }
            for spec, output in zip(plan.targets, explained.targets.outputs, strict=True)
        }
        checkpoint.make_score_files(
            numbers,
            {spec: {**plan.attributes, **more} for spec, more in own.items()},
            chrom_sizes=plan.chrom_sizes,
            overwrite=options.overwrite,
            outputs=plan.outputs.all,
        )


def _counted(
    plan: RunPlan, options: ScoreOptions, checkpoint: Checkpoint, progress: Progressed
) -> Callable[[int], None]:
    """Return a function that takes the number of records that need no more work."""

    def told(done: int) -> None:
        skipped = checkpoint.skipped
        # The number of a shard's records is known for those that can be scored only.
        unusable = 0 if options.shard is None else skipped.count - skipped.unscored
        progress(done - unusable, plan.n_records)

    return told


@contextmanager
def _reference_file(
    plan: RunPlan, reference: Reference, checkpoint: Checkpoint
) -> Iterator[ReferenceFile | None]:
    """Open the file for the references, if the user wants one; the file appears on a clean exit."""
    path = plan.outputs.references
    if path is None:
        yield None
        return
    with (
        Publication(checkpoint.folder(plan.targets[0])) as publication,
        ReferenceFile(publication.temporary(path), path) as saved,
    ):
        if reference.shared:
            saved.shared(reference.common(plan.layout.length))
        yield saved


def _nothing_left(options: ScoreOptions, skipped: SkippedTables) -> str:
    """Return a message that says why no sequence has scores."""
    first = next(iter(skipped.first), None)
    example = f"; the first, {first.name} (line {first.line}), {first.reason}" if first else ""
    genome = f" in genome {options.genome}" if options.genome is not None else ""
    # Scores that are not finite may come from the model as well as from the record, so both are named.
    further = len(options.all_models) - 1
    models = f"{options.model} and {further} more" if further else f"{options.model}"
    model = f" with {models}" if skipped.unscored else ""
    source = f"{options.records}{genome}{model}"
    return f"no sequence is left to score of {source}: {skipped.count:,} skipped{example}"


def _open_source(options: ScoreOptions, screen: Screen) -> Source:
    files = (options.fasta, options.genome, options.regions)
    selection = make_selection(
        chroms=options.chroms,
        rename_chroms=options.rename_chroms,
        fit=options.fasta is not None and options.length is not None,
        edge=options.edge,
        max_n=options.max_n,
        sample=None if options.sample is None else Sample(options.sample, options.seed),
    )
    if options.shard is not None:
        with suppress(CacheError):  # without a cache this run reads the files, as a whole job does
            return open_prepared_source(*files, screen.note, selection)
    return open_source(*files, screen.note, selection)


def _chrom_sizes(options: ScoreOptions, source: Source) -> dict[str, int] | None:
    """Return the lengths of the chromosomes in bp, if a bigWig is wanted."""
    if options.bigwig is None:
        return None
    if options.chrom_sizes is not None:
        return read_chrom_sizes(options.chrom_sizes)
    if isinstance(source, FastaSource):
        raise UserError(
            f"{options.bigwig}: with --fasta, bigWig needs --chrom-sizes (two columns: name, length)"
        )
    return source.chrom_sizes()


def _completeness(options: ScoreOptions) -> Completeness:
    return Completeness(TOLERANCE[getattr(torch, options.precision)], options.max_completeness_error)


def _write_bigwigs(
    options: ScoreOptions, plan: RunPlan, sizes: dict[str, int], checkpoint: Checkpoint
) -> None:
    for spec, path in plan.outputs.bigwigs.items():
        with step("writing", path):
            write_output(
                "bigwig",
                path,
                plan.outputs.scores[spec],
                sizes,
                {"overlap": options.overlap},
                overwrite=True,  # whether the file may be replaced was checked before
                scratch=checkpoint.folder(spec),
            )
