"""One run of `deeplift seqlets`: from a score file to a BED file."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.motifs.bed_output import HEADER, bed_lines
from deeplift_cli.motifs.libraries import library
from deeplift_cli.motifs.matches import Matches, best_matches
from deeplift_cli.motifs.motif_files import Motifs, read_motifs
from deeplift_cli.motifs.overlapping import reported_once
from deeplift_cli.motifs.seqlets import MAX_LENGTH, MIN_LENGTH, P_VALUE, Seqlets, find_seqlets
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_reader import ScoreReader, probed
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.outputs.text_output import opened
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.records import Region

_OBSERVED, _SEQUENCES = "projected_shap/seq", "raw/seq"
_NO_BASE = 4


@dataclass(frozen=True, kw_only=True)
class SeqletOptions:
    """Options of `deeplift seqlets`.

    Attributes
    ----------
    scores, out : Path
    motifs : Path or None
        A file of known motifs, with which seqlets are compared.
    p_value : float
    min_length, max_length, additional_flanks : int
        Lengths in bp.
    negative, overwrite : bool
    """

    scores: Path
    out: Path
    motifs: Path | None = None
    p_value: float = P_VALUE
    min_length: int = MIN_LENGTH
    max_length: int = MAX_LENGTH
    additional_flanks: int = 0
    negative: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Written:
    """The content of a file of seqlets.

    Attributes
    ----------
    n_sequences : int
    n_positive, n_negative : int
        Seqlets in the file, by the sign of their contribution.
    n_elsewhere : int
        Seqlets that were left out, since another window has them, too.
    n_motifs : int
        Motifs with which seqlets were compared.
    q_values : ndarray of float64
        The q-values of the best matches; empty without motifs.
    """

    n_sequences: int
    n_positive: int
    n_negative: int
    n_elsewhere: int
    n_motifs: int
    q_values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """The rows of a score file: windows, contributions float32 [N, L], and bases int8 [N, L]."""

    regions: list[Region]
    contributions: npt.NDArray[np.float32]
    bases: npt.NDArray[np.int8]


def write_seqlets(options: SeqletOptions, note: Callable[[str], None]) -> Written:
    """Find the seqlets of a score file, and write them as BED, which appears when it is complete.

    Contributions and bases of all rows, five bytes a base, are in temporary files beside the output, of which
    the system keeps in memory what it has space for.

    Parameters
    ----------
    options : SeqletOptions
    note : callable
        Called with lines that the user should read.

    Raises
    ------
    UserError
        If the score file or the file of motifs is damaged, the output cannot be written, or the libraries of
        the extra "motifs" are not installed.
    """
    inputs = [path for path in (options.scores, options.motifs) if path is not None]
    check_writable([options.out], True, inputs)
    with deferred(), Scratch(options.out, "seqlets") as scratch:
        with interruptible():
            if options.out.absolute() not in scratch.begun:
                check_writable([options.out], options.overwrite)
            library("tangermeme.seqlet")  # before the scores are read
            motifs = {} if options.motifs is None else read_motifs(options.motifs)
            with step("reading", options.scores):
                reader = probed(options.scores)
        with Publication(scratch.folder) as publication:
            with interruptible(), _rows(reader, scratch.folder, options.out) as rows:
                found, n_elsewhere = _found(options, rows)
                matches = _matches(options, rows, found, motifs, note)
                sizes = reader.chrom_sizes or {}
                lines = bed_lines(found, rows.bases, rows.regions, sizes, list(motifs), matches)
                _write(lines, publication.temporary(options.out), options.out)
            check_stopped()
            scratch.mark_complete([options.out])
        scratch.mark_published()
    n_positive = int((found.contribution >= 0).sum())
    return Written(
        reader.n_rows,
        n_positive,
        len(found) - n_positive,
        n_elsewhere,
        len(motifs),
        np.empty(0) if matches is None else matches.q_value,
    )


def _found(options: SeqletOptions, rows: _Rows) -> tuple[Seqlets, int]:
    """Find the seqlets, each once; and count those that were left out since another window has them, too."""
    with step("finding seqlets", options.scores):
        found = find_seqlets(
            rows.contributions,
            p_value=options.p_value,
            min_length=options.min_length,
            max_length=options.max_length,
            additional_flanks=options.additional_flanks,
            negative=options.negative,
        )
    once = found.take(reported_once(found, rows.regions))
    return once, len(found) - len(once)


def _matches(
    options: SeqletOptions, rows: _Rows, seqlets: Seqlets, motifs: Motifs, note: Callable[[str], None]
) -> Matches | None:
    """Return the best matches of seqlets among the motifs; None if the user gave no motifs."""
    if options.motifs is None:
        return None
    with step("comparing seqlets with motifs", options.motifs):
        return best_matches(rows.bases, seqlets, motifs, note)


def _write(lines: Iterable[str], temporary: Path, out: Path) -> None:
    """Write the lines of BED to the temporary file of the output."""
    with step("writing", out), _writing(out), opened(temporary, out) as file:
        file.write(HEADER.encode())
        for line in lines:
            file.write(line.encode("utf-8", "surrogateescape"))


@contextmanager
def _rows(reader: ScoreReader, folder: Path, out: Path) -> Iterator[_Rows]:
    """Read a score file into temporary files, which are mapped into memory.

    Raises
    ------
    UserError
        If the score file is damaged, has no rows or holds a value that is not finite, or the disc is full.
    """
    if not reader.n_rows:
        raise UserError(f"score file {reader.path} has no rows in which seqlets could be")
    shape = (reader.n_rows, reader.layout.length)
    regions: list[Region] = []
    with TemporaryFile(dir=folder) as contributions, TemporaryFile(dir=folder) as bases:
        with step("reading", reader.path), compressing_threads() as pool, _writing(out):
            for batch in reader.batches(pool, (_OBSERVED, _SEQUENCES)):
                # One channel of the four is not 0.
                values = batch.values(_OBSERVED).sum(axis=1, dtype=np.float32)
                unsound = np.flatnonzero(~np.isfinite(values).all(axis=1))
                if unsound.size:
                    row = batch.rows.start + unsound[0]
                    raise UserError(f"score file {reader.path}, row {row}: a score is not a finite number")
                one_hot = batch.values(_SEQUENCES)
                letters = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), _NO_BASE)
                contributions.write(values.tobytes())
                bases.write(letters.astype(np.int8).tobytes())
                regions += batch.regions
            contributions.flush()
            bases.flush()
        # The maps become plain arrays, since the libraries know no memory maps.
        yield _Rows(
            regions,
            np.asarray(np.memmap(contributions, np.float32, "r", shape=shape)),
            np.asarray(np.memmap(bases, np.int8, "r", shape=shape)),
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"{path} cannot be written: {reason}") from error
