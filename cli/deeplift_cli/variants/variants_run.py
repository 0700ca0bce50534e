"""The job of `deeplift variants`: variants -> pairs of windows -> references -> scores -> HDF5 and tables.

As in `deeplift score`, another thread reads batches and makes their references, each finished batch is saved,
the next run of the same job resumes from the saved batches, and the outputs are made of them at the end.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deeplift_cli.models.explainer import chosen_device
from deeplift_cli.models.fold_mean import LoadedModel, explain_models
from deeplift_cli.models.targets import need_the_model
from deeplift_cli.options.rules import takes_gradients
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.outputs.workspace import Workspace, clean_up
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.signals import deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.run.checkpoint import how_to_resume
from deeplift_cli.run.fingerprint import fingerprint
from deeplift_cli.run.summary import Completeness, Summary
from deeplift_cli.sequences import make_selection
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.variants.background import BackgroundLoop
from deeplift_cli.variants.batch_loop import VariantLoop
from deeplift_cli.variants.models import read_models_of_variants, window_length
from deeplift_cli.variants.motif_changes import MotifChanges
from deeplift_cli.variants.output_paths import VariantPaths
from deeplift_cli.variants.pieces import VariantPieces
from deeplift_cli.variants.plan import VariantPlan, make_plan, observed_reference
from deeplift_cli.variants.publishing import Publisher
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
    paths = None if need_the_model(options.targets) else _paths(options)
    motifs = None if options.motifs is None else MotifChanges.read(options.motifs)
    source, background = _sources(options, screen)
    models = read_models_of_variants(options, screen)
    if options.targets != models[0].targets.specs:
        options = replace(options, targets=models[0].targets.specs)
        paths = None
    paths = paths or _paths(options)
    digests = [model.file.sha256 for model in models]
    job = fingerprint(options, digests, chosen_device(options.device).type)
    alleles = groups_of(2 if options.indel_fill == "both" else 1)
    tolerance = TOLERANCE[getattr(torch, options.precision)]
    labels = [f"{spec.label} {name}" for spec in options.targets for name in alleles]
    summary = Summary(
        {label: Completeness(tolerance, None) for label in labels},
        exempt=takes_gradients(options.rule),
        started=started,
        left_out=source.n_left_out,
        unit="variants",
    )
    workspace = Workspace(paths.first, job, resume=options.resume, note=screen.note)
    with deferred(), _opened(workspace, screen):
        paths.check(options)  # once more, now that no other run works on them
        with interruptible():
            plan = _plan(options, paths, alleles, models, source, workspace, job, summary, screen)
            pieces = VariantPieces(paths.first, workspace.folder, workspace.job_digest)
        loop = VariantLoop(plan, workspace, pieces, summary)
        summary.start_scoring()
        total = source.n_records + (background.n_records if background else 0)
        loop.run(source, lambda done: progress(done, total))
        effects = None
        if background is not None:
            assert options.background is not None
            others = BackgroundLoop(plan, pieces)
            others.run(background, lambda done: progress(source.n_records + done, total))
            effects = others.effects(options.background)
            summary.settings["background"] = (
                f"{effects[0].n_variants:,} variants with an effect, {others.n_skipped:,} skipped"
            )
        Publisher(plan, workspace, summary, motifs).publish(pieces, loop.n_batches, effects)
        workspace.mark_published()
    summary.finish()
    return summary, paths.all


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


def _paths(options: VariantOptions) -> VariantPaths:
    """Return the names of all outputs, free of what an interrupted run left, and found writable."""
    paths = VariantPaths.of(options)
    clean_up([paths.first])
    paths.check(options)
    return paths


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
    alleles: tuple[str, ...],
    models: tuple[LoadedModel, ...],
    source: VariantSource,
    workspace: Workspace,
    job: dict[str, Any],
    summary: Summary,
    screen: Screen,
) -> VariantPlan:
    """Record the models, make the plan, and tell the summary how variants are scored."""
    explained = explain_models(
        replace(options, **workspace.decisions),
        models,
        lambda: window_length(options, models[0].file),
        source.n_records,
        screen,
    )
    workspace.keep_decisions(
        {"batch_size": explained.batch_size, "compile": "on" if explained.is_compiled else "off"}
    )
    reference, content = observed_reference(options, source, explained.length)
    if content is not None:
        workspace.add_to_job(_GENOME_CONTENT, content)
        job = {**job, _GENOME_CONTENT: content}
    layers = f", and {len(options.layer_rules)} of layers" if options.layer_rules else ""
    folds = {"model": f"mean of {explained.n_models} folds"} if explained.n_models > 1 else {}
    inputs = explained.model.further
    further = {} if inputs is None else {"further inputs": str(inputs)}
    summary.settings = (
        folds
        | further
        | {
            "target": explained.explained,
            "rule": options.rule + layers,
            "reference": f"{options.reference}, {reference.n_references:,} for each variant",
            "window": f"{explained.length:,} bp; insertions and deletions: {_FILLS[options.indel_fill]}",
        }
    )
    return make_plan(options, paths, alleles, explained, reference, job, source.chrom_sizes)
