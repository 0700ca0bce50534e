"""Merging of score files: the shards of one job in order, or the mean of the folds of a cross-validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.merge.averages import average
from deeplift_cli.merge.parts import Combined
from deeplift_cli.merge.shards import end_to_end
from deeplift_cli.merge.skipped import merged_skipped, skipped_of
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.export import add_output, chromosome_lengths
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.registry import FORMATS
from deeplift_cli.outputs.score_file import ScoreFile, companions
from deeplift_cli.outputs.score_reader import ScoreReader, probed
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.process.progress import Progressed, no_progress
from deeplift_cli.process.signals import check_stopped, deferred, interruptible


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """Options of `deeplift merge`, named as on the command line; `tsv` is for parts with variants."""

    parts: tuple[Path, ...]
    out: Path
    average: bool = False
    bigwig: Path | None = None
    tsv: Path | None = None
    chrom_sizes: Path | None = None
    genome: Path | None = None
    overlap: str = "nearest-centre"
    overwrite: bool = False


def merge(
    options: MergeOptions, note: Callable[[str], None], progress: Progressed = no_progress
) -> tuple[int, list[Path]]:
    """Make one score file of several; the memory does not grow with the files.

    All values are compared with the checksums in the parts.

    Parameters
    ----------
    options : MergeOptions
    note : callable
        Called with lines that the user should read.
    progress : callable, optional
        Called with the numbers of rows that were merged and of all rows.

    Returns
    -------
    rows : int
        Number of rows in the new file.
    written : list of Path

    Raises
    ------
    UserError
        If a part is missing, given twice, damaged, or of another job; or an output cannot be written.
    """
    written = [options.out, *companions(options.out)]
    beside = dict.fromkeys(companions(options.out), options.out)
    if options.bigwig is not None:
        written.append(options.bigwig)
    check_writable(written, True, [*options.parts, *map(skipped_of, options.parts)], beside)
    with deferred(), Scratch(options.out, "merge") as scratch:
        with interruptible():
            others = [path for path in written if path.absolute() not in scratch.begun]
            check_writable(others, options.overwrite, beside=beside)
            parts = [probed(path) for path in options.parts]
            sizes = None
            if options.bigwig is not None:
                kinds = [FORMATS.get("bigwig")]
                sizes = chromosome_lengths(kinds, parts[0], options.chrom_sizes, options.genome)
            _note_unchecked(parts, note)
        with compressing_threads() as pool:
            with interruptible():
                combined = average(parts, pool) if options.average else end_to_end(parts, pool)
                skipped = merged_skipped(combined.skipped_of, scratch.folder, options.out)
            rows = _write(options, combined, skipped, scratch, sizes, written, progress)
    return rows, written


def _write(
    options: MergeOptions,
    combined: Combined,
    skipped: Path,
    scratch: Scratch,
    sizes: dict[str, int] | None,
    written: Sequence[Path],
    progress: Progressed,
) -> int:
    """Write all outputs, which appear together, and return the number of rows."""
    with Publication(scratch.folder) as publication:
        with ScoreFile(
            options.out,
            combined.layout,
            skipped=skipped,
            attrs=combined.attrs,
            chrom_sizes=combined.first.chrom_sizes,
            overwrite=True,  # whether the file may be replaced was checked before
            publication=publication,
        ) as file:
            for batch in combined.batches:
                file.append(batch)
                progress(file.n_rows, combined.n_rows)
                check_stopped()
        if options.bigwig is not None:
            with interruptible():
                given = {"overlap": options.overlap}
                add_output(publication, "bigwig", options.bigwig, file.temporary, sizes, given)
        check_stopped()
        scratch.mark_complete(written)
    scratch.mark_published()
    return file.n_rows


def _note_unchecked(parts: Sequence[ScoreReader], note: Callable[[str], None]) -> None:
    without = [str(part.path) for part in parts if not part.checksums]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        note(
            f"{without[0]}{more} has no checksums, since an earlier version of deeplift wrote it: only "
            "compressed datasets can be checked"
        )
