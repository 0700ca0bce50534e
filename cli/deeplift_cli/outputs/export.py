"""Export of a score file to other formats: by `deeplift export`, and after scoring and merging."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.registry import FORMATS, Export, OutputFormat
from deeplift_cli.outputs.score_reader import ScoreReader, probed
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.process.progress import Progressed, no_progress
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.sequences.notes import say_nothing


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `deeplift export`.

    Attributes
    ----------
    scores : Path
    outputs : mapping of str to Path
        The files to write, by the names of their formats.
    options : mapping of str to anything
        Values of the formats' own options.
    chrom_sizes, genome : Path or None
        The file with the lengths of chromosomes; by default the lengths in the score file are used.
    overwrite : bool
    """

    scores: Path
    outputs: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    chrom_sizes: Path | None = None
    genome: Path | None = None
    overwrite: bool = False


def export(
    options: ExportOptions, note: Callable[[str], None], progress: Progressed = no_progress
) -> list[Path]:
    """Write the files that the options ask for. All appear together; a run that is stopped leaves no file.

    Parameters
    ----------
    options : ExportOptions
    note : callable
        Called with lines that the user should read.
    progress : callable, optional
        Called with the numbers of rows that were read for a file and of all rows, file by file.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    UserError
        If the score file is damaged, a format is unknown or lacks lengths of chromosomes, a window has no
        place on its chromosome, or an output cannot be written.
    """
    written = list(options.outputs.values())
    inputs = [path for path in (options.scores, options.chrom_sizes, options.genome) if path is not None]
    kinds = [FORMATS.get(name) for name in options.outputs]
    check_writable(written, True, inputs)
    with deferred(), ExitStack() as stack:
        scratches = [stack.enter_context(Scratch(path, "export")) for path in written]
        begun = set().union(*(scratch.begun for scratch in scratches))
        with interruptible():
            check_writable([path for path in written if path.absolute() not in begun], options.overwrite)
            with step("reading", options.scores):
                reader = probed(options.scores)
            sizes = chromosome_lengths(kinds, reader, options.chrom_sizes, options.genome, note)
        with Publication() as publication:
            for (name, path), scratch in zip(options.outputs.items(), scratches, strict=True):
                with interruptible(), step("writing", path):
                    add_output(
                        publication, name, path, reader, sizes, options.options,
                        scratch=scratch.folder, progress=progress,
                    )  # fmt: skip
            check_stopped()
            for scratch in scratches:
                scratch.mark_complete(written)
        for scratch in scratches:
            scratch.mark_published()
    return written


def write_output(
    name: str,
    path: Path,
    scores: Path,
    chrom_sizes: Mapping[str, int] | None,
    options: Mapping[str, Any],
    *,
    overwrite: bool,
    scratch: Path | None = None,
) -> None:
    """Write one file, which gets its name when it is complete.

    Parameters
    ----------
    name : str
        The name of the format.
    path : Path
        The file to write.
    scores : Path
        A score file that this run has written.
    chrom_sizes : mapping of str to int, or None
        Length of each chromosome in bp, as far as known.
    options : mapping of str to anything
        Values of the format's own options.
    overwrite : bool
        True if a file that exists may be replaced.
    scratch : Path, optional
        A folder for the unfinished file, if it is on the same disc; by default the file's own folder.

    Raises
    ------
    UserError
        As `export`.
    """
    check_writable([path], overwrite, [scores])
    with Publication(scratch) as publication:
        add_output(publication, name, path, scores, chrom_sizes, options)


def add_output(
    publication: Publication,
    name: str,
    path: Path,
    scores: Path | ScoreReader,
    chrom_sizes: Mapping[str, int] | None,
    options: Mapping[str, Any],
    *,
    scratch: Path | None = None,
    progress: Progressed = no_progress,
) -> None:
    """Write one file, which appears together with the other files of a publication.

    Raises
    ------
    UserError
        As `write_output`, except for a file that exists.
    """
    kind = FORMATS.get(name)
    own = {option.name: options[option.name] for option in kind.options if option.name in options}
    temporary = publication.temporary(path, f".part{kind.suffix}", scratch)
    reader = scores if isinstance(scores, ScoreReader) else ScoreReader(scores)
    try:
        kind.write(Export(reader, temporary, path, chrom_sizes, own, progress))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"{path} cannot be written from {reader.path}: {reason}") from error
    if not temporary.is_file():
        raise UserError(f"the output format {name!r} wrote nothing for {path}; report this to its authors")


def chromosome_lengths(
    kinds: Iterable[OutputFormat],
    scores: ScoreReader,
    chrom_sizes: Path | None,
    genome: Path | None,
    note: Callable[[str], None] = say_nothing,
) -> dict[str, int] | None:
    """Return the length of each chromosome in bp: as a file gives it, else as the score file keeps it.

    Parameters
    ----------
    kinds : iterable of OutputFormat
        The formats that are going to be written.
    scores : ScoreReader
    chrom_sizes, genome : Path or None
        The files that the user gave.
    note : callable, optional
        Called with lines that the user should read.

    Raises
    ------
    UserError
        If a format needs lengths that are not known.
    """
    if chrom_sizes is not None:
        return read_chrom_sizes(chrom_sizes)
    if genome is not None:
        return Genome(genome, note).sizes
    for kind in kinds:
        if kind.lengths == "needed" and scores.chrom_sizes is None:
            raise UserError(
                f"{scores.path} does not keep the lengths of chromosomes, which {kind.flag} needs; give "
                "--chrom-sizes or --genome"
            )
    return scores.chrom_sizes
