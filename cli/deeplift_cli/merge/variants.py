"""Merging of the shards of `deeplift variants`: the HDF5 file, and the table of effects made of it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.merge.merge import MergeOptions
from deeplift_cli.merge.parts import check_same_job
from deeplift_cli.merge.shards import in_order, merged_attributes
from deeplift_cli.merge.skipped import merged_skipped, skipped_of
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.process.progress import Progressed, no_progress
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.variants.effects_table import EffectsTable
from deeplift_cli.variants.p_values import BackgroundEffects
from deeplift_cli.variants.variant_file import VariantFile
from deeplift_cli.variants.variant_reader import VariantReader, probed_variants


def merge_variants(options: MergeOptions, progress: Progressed = no_progress) -> tuple[int, list[Path]]:
    """Make one file of all shards of a job, and the table; the memory does not grow with the files.

    All values are compared with the checksums in the parts. The p-values of the table come from the
    background variants of all shards, so that they are those of one run.

    Parameters
    ----------
    options : MergeOptions
    progress : callable, optional
        Called with the numbers of variants that were merged and of all variants.

    Returns
    -------
    rows : int
        Number of variants in the new file.
    written : list of Path

    Raises
    ------
    UserError
        If a part is missing, given twice, damaged, or of another job; or an output cannot be written.
    """
    _refuse_options_of_scores(options)
    written = [options.out, skipped_of(options.out)]
    if options.tsv is not None:
        written.append(options.tsv)
    check_writable(written, True, [*options.parts, *map(skipped_of, options.parts)])
    with deferred(), Scratch(options.out, "merge") as scratch:
        with interruptible():
            others = [path for path in written if path.absolute() not in scratch.begun]
            check_writable(others, options.overwrite)
            parts = _ordered([probed_variants(path) for path in options.parts])
            skipped = merged_skipped(parts, scratch.folder, options.out)
            background = _background(parts)
        with Publication(scratch.folder) as publication:
            rows = _write(options, parts, background, publication, progress)
            publication.add(skipped, skipped_of(options.out))
            check_stopped()
            scratch.mark_complete(written)
        scratch.mark_published()
    return rows, written


def _refuse_options_of_scores(options: MergeOptions) -> None:
    first = options.parts[0]
    if options.average:
        raise UserError(
            f"{first} holds variants, which --average does not average: give all models to one "
            "deeplift variants"
        )
    if options.bigwig is not None:
        raise UserError(f"{first} holds variants, and no bigWig is made of two alleles; leave out --bigwig")


def _ordered(parts: Sequence[VariantReader]) -> list[VariantReader]:
    """Return the shards of one job in order.

    Raises
    ------
    UserError
        If the parts are not all shards of one job, each once.
    """
    ordered = in_order(parts, "merge takes shards of variants only")
    first = ordered[0]
    for part in ordered[1:]:
        check_same_job(first.scores, part.scores, "is of another job than")
        if part.layout != first.layout:
            raise UserError(f"{part.path} has other datasets than {first.path}; score both again")
    return ordered


def _background(parts: Sequence[VariantReader]) -> BackgroundEffects | None:
    """Return the effects of the background variants of all shards; None if there are no such variants."""
    if not parts[0].layout.background:
        return None
    found = BackgroundEffects(part.background for part in parts)
    if not found.n_variants:
        raise UserError("none of the background variants of these shards has an effect that is a number")
    return found


def _write(
    options: MergeOptions,
    parts: Sequence[VariantReader],
    background: BackgroundEffects | None,
    publication: Publication,
    progress: Callable[[int, int], None],
) -> int:
    """Write the HDF5 file and the table, and return the number of variants."""
    layout, first = parts[0].layout, parts[0].scores
    total = sum(part.n_rows for part in parts)
    attrs = merged_attributes([part.scores for part in parts])
    temporary = publication.temporary(options.out)
    with ExitStack() as stack:
        pool = stack.enter_context(compressing_threads())
        file = VariantFile(temporary, options.out, layout, attrs, first.chrom_sizes or {})
        stack.enter_context(file)
        table = None
        if options.tsv is not None:
            unfinished = publication.temporary(options.tsv)
            table = stack.enter_context(EffectsTable(unfinished, options.tsv, layout, background))
        for part in parts:
            if layout.background:
                file.append_background(part.background)
            for rows in part.rows(pool):
                file.append(rows)
                if table is not None:
                    table.append(rows)
                progress(file.n_rows, total)
                check_stopped()
    return file.n_rows
