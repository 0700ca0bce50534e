"""Makes a browser's folder: checks the inputs, prepares the contents, publishes all files together."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.browser import contents as files
from deeplift_cli.browser.annotations import read_annotations, windows_as_bed
from deeplift_cli.browser.assemblies import recognise
from deeplift_cli.browser.bigwigs import bigwig_chromosomes, require_same_genome
from deeplift_cli.browser.contents import Annotation, Contents, Signal
from deeplift_cli.browser.hub import ucsc_hub, washu_hub
from deeplift_cli.browser.letters import as_fasta, fasta_records, require_simple_names, write_masked_genome
from deeplift_cli.browser.names import file_names
from deeplift_cli.browser.page import fits_page, library_license, page
from deeplift_cli.browser.server import files_of, list_of_files
from deeplift_cli.browser.session import igv_session
from deeplift_cli.browser.windows import Stretch, first_view, read_windows, stretches, windows_file
from deeplift_cli.errors import UserError
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.genome import Genome


@dataclass(frozen=True, kw_only=True)
class BrowserOptions:
    """Options of `deeplift browser`.

    Attributes
    ----------
    bigwigs : tuple of Path
        The bigWigs of contributions.
    genome : Path
        FASTA: plain, gzip or bgzip.
    out : Path
        The folder to make.
    regions : Path or None
        BED file of the scored windows; by default that of a bigWig's name.
    annotations : tuple of Path
        BED files of further tracks.
    names : tuple of str
        Names of the bigWigs' tracks; none, or as many as bigWigs.
    locus : tuple of (str, int, int) or None
        The first view: chromosome, start and end, 0-based and half-open.
    assembly : str or None
        The name that IGV, UCSC and WashU have for the genome.
    overwrite : bool
        True if files in the folder may be replaced.
    """

    bigwigs: tuple[Path, ...]
    genome: Path
    out: Path
    regions: Path | None = None
    annotations: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    locus: tuple[str, int, int] | None = None
    assembly: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Built:
    """What was made.

    Attributes
    ----------
    contents : Contents
    embedded : bool
        True if the page holds its data and opens from disk.
    written : list of Path
        All files, the page first.
    """

    contents: Contents
    embedded: bool
    written: list[Path]


def build(options: BrowserOptions, note: Callable[[str], None]) -> Built:
    """Make the folder. All files appear together; a run that is stopped leaves none.

    Parameters
    ----------
    options : BrowserOptions
        Inputs and outputs.
    note : callable
        Called with lines that the user should read.

    Raises
    ------
    UserError
        If an input cannot be used, inputs do not fit each other, or an output cannot be written.
    """
    # A wrong name is reported before the genome is indexed, which may take a minute.
    _require_place(options.out)
    chromosomes = [bigwig_chromosomes(path) for path in options.bigwigs]
    regions = options.regions or windows_file(options.bigwigs)
    with step("reading", options.genome):
        genome = Genome(options.genome, note)
    for path, found in zip(options.bigwigs, chromosomes, strict=True):
        require_same_genome(path, found, options.genome, genome.sizes)
    contents = _contents(options, regions, genome.sizes, note)
    parts = stretches(contents.windows, genome.sizes)
    require_simple_names(parts)
    records = fasta_records(parts, genome.sizes)
    letters = None
    if fits_page(contents, sum(part.end - part.start for _, part in records)):
        with step("reading", options.genome):
            letters = as_fasta(genome, records)
    inputs = [*options.bigwigs, options.genome, regions, *options.annotations]
    texts = _texts(options, contents, letters)
    try:
        written = _publish(options, contents, texts, inputs, genome, parts)
    except OSError as error:
        raise not_written(options.out, error) from error
    return Built(contents, letters is not None, written)


def _contents(
    options: BrowserOptions, regions: Path, sizes: dict[str, int], note: Callable[[str], None]
) -> Contents:
    """Read the windows and annotations, and give every track its names."""
    windows, skipped = read_windows(regions, options.genome, sizes)
    if skipped:
        note(f"{regions}: {skipped:,} line(s) without a place on the genome are left out")
    locus = first_view(windows[0]) if options.locus is None else _on_genome(options.locus, sizes)
    taken = {name.lower() for name in files.FIXED}
    names = options.names or tuple(path.stem for path in options.bigwigs)
    signals = [
        Signal(path, name, file)
        for path, name, file in zip(
            options.bigwigs,
            names,
            file_names([path.stem for path in options.bigwigs], ".bw", taken),
            strict=True,
        )
    ]
    stems = [path.name.removesuffix(".gz").removesuffix(".bed") for path in options.annotations]
    annotations = [Annotation(windows_as_bed(windows), "scored windows", files.WINDOWS)]
    for path, stem, file in zip(options.annotations, stems, file_names(stems, ".bed", taken), strict=True):
        text, skipped = read_annotations(path, sizes)
        if skipped:
            note(f"{path}: {skipped:,} line(s) without a place on the genome are left out")
        annotations.append(Annotation(text, stem, file))
    return Contents(
        signals=tuple(signals),
        annotations=tuple(annotations),
        windows=tuple(windows),
        locus=locus,
        assembly=options.assembly or recognise(sizes),
        genome_name=options.genome.name,
    )


def _on_genome(locus: tuple[str, int, int], sizes: dict[str, int]) -> Stretch:
    chrom, start, end = locus
    if chrom not in sizes:
        raise UserError(f"--locus is on {chrom!r}, which the genome does not have")
    if end > sizes[chrom]:
        raise UserError(f"--locus ends at {end:,}, behind the end of {chrom} ({sizes[chrom]:,} bp)")
    return Stretch(chrom, start, end)


def _texts(options: BrowserOptions, contents: Contents, letters: bytes | None) -> dict[str, bytes]:
    """Return the content of all files that are made of text, by name; the page comes first."""
    serve = f"deeplift browser -o {shlex.quote(str(options.out))} --serve 8000"
    texts = {
        files.PAGE: page(contents, letters, serve),
        files.LICENSE: library_license().encode(),
        files.SESSION: igv_session(contents),
        files.WASHU: washu_hub(contents).encode(),
    }
    if contents.assembly is not None:
        hub = ucsc_hub(contents)
        for name, key in ((files.HUB, "hub"), (files.GENOMES, "genomes"), (files.TRACKDB, "trackDb")):
            texts[name] = hub[key].encode()
    return texts | {annotation.file: annotation.text for annotation in contents.annotations}


def _publish(
    options: BrowserOptions,
    contents: Contents,
    texts: dict[str, bytes],
    inputs: Iterable[Path],
    genome: Genome,
    parts: list[Stretch],
) -> list[Path]:
    """Write all files to a hidden folder, and move them to their own together."""
    out = options.out
    letters = [out / name for name in (files.LETTERS, files.LETTERS_FAI, files.LETTERS_GZI)]
    names = [*texts, *(signal.file for signal in contents.signals), *(path.name for path in letters)]
    texts = texts | {files.FILES: list_of_files(sorted(names))}
    written = [out / name for name in (*names, files.FILES)]
    earlier = _earlier_files(out)
    is_new = not out.is_dir()
    out.mkdir(exist_ok=True)
    try:
        check_writable(written, True, inputs)
        with deferred(), Scratch(out, "browser") as scratch:
            with interruptible():
                begun = scratch.begun
                check_writable([path for path in written if path.absolute() not in begun], options.overwrite)
            with Publication(scratch.folder) as publication:
                with interruptible(), step("writing", out):
                    for name, text in texts.items():
                        publication.temporary(out / name).write_bytes(text)
                    for signal in contents.signals:
                        _link(signal.path, publication.temporary(out / signal.file))
                    write_masked_genome(genome, parts, *map(publication.temporary, letters))
                check_stopped()
                scratch.mark_complete(written)
            scratch.mark_published()
    except BaseException:
        if is_new:
            with suppress(OSError):
                out.rmdir()
        raise
    for name in set(earlier) - {path.name for path in written}:
        (out / name).unlink(missing_ok=True)
    return written


def _require_place(out: Path) -> None:
    """Check that the folder is there or can be made."""
    if not out.is_dir() and (out.exists() or out.is_symlink()):
        raise UserError(f"output {out} exists and is not a folder; give another name")
    if not out.parent.is_dir():
        raise UserError(f"output folder {out.parent} does not exist (for {out.name}); make it first")


def _earlier_files(out: Path) -> list[str]:
    """Return the files that an earlier run wrote to the folder; none if no run did."""
    try:
        return files_of(out)
    except UserError:
        return []


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, which takes no space; copy it where the file system cannot do that."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
