"""The job of `deeplift variants`: variants -> pairs of windows -> references -> scores -> HDF5 and tables.

Another thread reads batches and makes their references, each finished batch is saved, the next run of the
same job resumes from the saved batches, and the outputs are made of them at the end, as in `deeplift score`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from deeplift_cli.errors import UserError
from deeplift_cli.models.fold_mean import LoadedModel
from deeplift_cli.options.rules import takes_gradients
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.signals import deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.checkpoint import SHOWN_REASONS, how_to_resume
from deeplift_cli.run.references import saved_references
from deeplift_cli.run.setup import (
    early_outputs,
    explained_models,
    job_of,
    nothing_left,
    of_shard,
    settings_of,
    settled,
)
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.run.summary import Completeness, Summary
from deeplift_cli.sequences import make_selection
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.variants.background import BackgroundLoop
from deeplift_cli.variants.batch_loop import VariantLoop
from deeplift_cli.variants.models import read_models_of_variants, window_length
from deeplift_cli.variants.motif_changes import MotifChanges
from deeplift_cli.variants.output_paths import VariantPaths
from deeplift_cli.variants.p_values import BackgroundEffects
from deeplift_cli.variants.pieces import VariantPieces
from deeplift_cli.variants.plan import Part, Survey, VariantPlan, make_plan, observed_reference, surveyed
from deeplift_cli.variants.publishing import Publisher
from deeplift_cli.variants.scoring import Array
from deeplift_cli.variants.source import VariantSource
from deeplift_cli.variants.stored import groups_of
from deeplift_core.accuracy.completeness import TOLERANCE

Progress = Callable[[int, int], None]

_FILLS = {
    "right": "cut or filled on the right",
    "left": "cut or filled on the left",
    "both": "cut or filled on the right and on the left, and averaged",
}
# The name under which the letters of the genome at the variants count in the fingerprint.
_GENOME_CONTENT = "the content of the genome at these variants"
_BACKGROUND_CONTENT = "the content of the genome at the background variants"


def score_variants(options: VariantOptions, screen: Screen, progress: Progress) -> tuple[Summary, list[Path]]:
    """Score both alleles of all variants, or resume an interrupted job.

    Parameters
    ----------
    options : VariantOptions
    screen : Screen
        Shows lines that the user should read.
    progress : callable
        Called after each batch with the number of finished variants and the number of all variants.

    Returns
    -------
    summary : Summary
    written : list of Path
        The files that were written.

    Raises
    ------
    UserError
        If a file, model or output cannot be used. No file then has an output's name. Finished batches stay
        in a folder beside the first output, and the next run of the same job resumes from these batches.
    """
    started = time.perf_counter()
    paths = early_outputs(VariantPaths.of, options)
    motifs = None if options.motifs is None else MotifChanges.read(options.motifs)
    source, background = _sources(options, screen)
    models = read_models_of_variants(options, screen)
    options, paths = settled(options, models, paths, VariantPaths.of)
    job = job_of(options, models)
    tolerance = TOLERANCE[getattr(torch, options.precision)]
    labels = [f"{spec.label} {name}" for spec in options.targets for name in _alleles(options)]
    summary = Summary(
        {label: Completeness(tolerance, options.max_completeness_error) for label in labels},
        exempt=takes_gradients(options.rule),
        started=started,
        left_out=source.n_left_out,
        unit="variants",
    )
    workspace = Workspace(paths.first, of_shard(job, options), resume=options.resume, note=screen.note)
    with deferred(), _opened(workspace, screen):
        paths.check(options)  # once more, now that no other run works on them
        with interruptible():
            plan = _plan(options, paths, models, source, background, workspace, job, summary, screen)
            pieces = VariantPieces(paths.first, workspace.folder, workspace.job_digest)
        summary.start_scoring()

        def told(done: int) -> None:
            progress(done, plan.n_records)

        saved_in = paths.references, workspace.folder, plan.reference, plan.layout.length
        with saved_references(*saved_in) as saved:
            numbers = _score(plan, workspace, pieces, saved, summary, told)
            effects = None if plan.background is None else _score_background(plan, pieces, summary, told)
            Publisher(plan, workspace, summary, motifs).publish(pieces, numbers, effects)
        workspace.mark_published()
    summary.finish()
    return summary, paths.all


def _alleles(options: VariantOptions) -> tuple[str, ...]:
    """Return the groups of the alleles."""
    return groups_of(2 if options.indel_fill == "both" else 1)


def _score(
    plan: VariantPlan,
    workspace: Workspace,
    pieces: VariantPieces,
    saved: ReferenceFile | None,
    summary: Summary,
    progress: Callable[[int], None],
) -> range:
    """Score all variants of the run, make the table of those without scores, and return the batches' numbers.

    Raises
    ------
    UserError
        If no variant of a whole job is left.
    """
    out, unusable, unscored = plan.paths.first, workspace.unusable, workspace.unscored
    with SkippedTables(out, unusable, unscored, SHOWN_REASONS) as tables:
        loop = VariantLoop(plan, pieces, tables, saved, summary)
        loop.run(loop.items(), progress)
        numbers = range(plan.part.share.start, plan.part.share.start + loop.n_batches)
        summary.skipped, summary.examples = tables.count, tables.first
        summary.rescoring_stopped = plan.scorer.rescoring_stopped
        if not summary.scored and plan.options.shard is None:
            for number in numbers:
                pieces.drop(number)
            raise nothing_left("variant", plan.options, tables)
        tables.close()
        tables.merge_into(workspace.skipped)
    return numbers


def _score_background(
    plan: VariantPlan, pieces: VariantPieces, summary: Summary, progress: Callable[[int], None]
) -> list[list[Array]]:
    """Return the effects of background variants for each target, in parts.

    Raises
    ------
    UserError
        If none of a whole job has an effect.
    """
    loop = BackgroundLoop(plan, pieces)
    loop.run(loop.items(), lambda done: progress(plan.part.n_records + done))
    effects = loop.effects()
    n_variants = [BackgroundEffects(own).n_variants for own in effects]
    if plan.options.shard is None and not all(n_variants):
        path = plan.options.background
        raise UserError(f"none of the variants of --background {path} has an effect that is a number")
    summary.settings["background"] = f"{n_variants[0]:,} variants with an effect, {loop.n_skipped:,} skipped"
    return effects


def _sources(options: VariantOptions, screen: Screen) -> tuple[VariantSource, VariantSource | None]:
    """Open the variants, and those of the background if there is one."""
    assert options.genome is not None
    with step("reading the genome", options.genome):
        genome = Genome(options.genome, screen.note)
        selection = make_selection(
            chroms=options.chroms,
            rename_chroms=options.rename_chroms,
            edge=options.edge,
            max_n=options.max_n,
        )
    with step("reading variants", options.vcf):
        source = VariantSource(genome, options.vcf, selection, options.indel_fill)
    if options.background is None:
        return source, None
    with step("reading variants", options.background):
        return source, VariantSource(genome, options.background, selection, options.indel_fill)


@contextmanager
def _opened(workspace: Workspace, screen: Screen) -> Iterator[None]:
    """Enter the workspace, and say after an exception how to resume from the finished batches."""
    with workspace:
        try:
            yield
        except BaseException as error:
            if kept := workspace.kept():
                screen.note(f"{kept:,} finished batches are kept: {how_to_resume(error)}")
            raise


def _plan(
    options: VariantOptions,
    paths: VariantPaths,
    models: tuple[LoadedModel, ...],
    source: VariantSource,
    background: VariantSource | None,
    workspace: Workspace,
    job: dict[str, Any],
    summary: Summary,
    screen: Screen,
) -> VariantPlan:
    """Record the models, make the plan, and tell the summary how variants are scored."""
    explained = explained_models(
        options,
        models,
        lambda: window_length(options, models[0].file),
        source.n_records,
        workspace,
        screen,
    )
    reference, survey = observed_reference(options, source, explained.length)
    surveys = {_GENOME_CONTENT: survey}
    if background is not None and options.shard is not None:
        surveys[_BACKGROUND_CONTENT] = surveyed(background, explained.length)
    contents = {name: found.content for name, found in surveys.items() if found is not None}
    for name, content in contents.items():
        workspace.add_to_job(name, content)

    def part_of(variants: VariantSource, found: Survey | None) -> Part:
        return Part.of(variants, options, None if found is None else found.usable, explained.batch_size)

    summary.settings = settings_of(
        options,
        explained,
        f"{options.reference}, {reference.n_references:,} for each variant",
        f"; insertions and deletions: {_FILLS[options.indel_fill]}",
    )
    return make_plan(
        options,
        paths,
        _alleles(options),
        explained,
        reference,
        part_of(source, survey),
        None if background is None else part_of(background, surveys.get(_BACKGROUND_CONTENT)),
        {**job, **contents},
    )
