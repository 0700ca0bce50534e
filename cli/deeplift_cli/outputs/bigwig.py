"""Per-base contributions as bigWig, from a finished score file."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import h5py
import numpy as np
import numpy.typing as npt
import pybigtools

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.bigwig_order import move_chromosomes_forward
from deeplift_cli.outputs.chrom_sizes import Placement
from deeplift_cli.outputs.overlaps import RULES, Rule
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_reader import read_regions
from deeplift_cli.process.signals import Stopped

_ROWS_AT_ONCE = 4096
_BYTES_AT_ONCE = 64 * 1024 * 1024


def write_bigwig(
    path: str | Path,
    score_file_path: str | Path,
    chrom_sizes: Mapping[str, int],
    overlap: str = "nearest-centre",
    overwrite: bool = False,
    scratch: Path | None = None,
) -> None:
    """Write the contributions of the observed bases, one value per base.

    Positions with N, inside a window, have the value 0; positions in no window have none. Everything is
    checked before the file is begun, and it takes its name only when complete.

    Parameters
    ----------
    path : str or Path
        Where to write.
    score_file_path : str or Path
        A score file.
    chrom_sizes : mapping of str to int
        Length of each chromosome in bp.
    overlap : str, optional
        What a position covered by several windows gets: a name of `overlap.RULES`.
    overwrite : bool, optional
        Whether a file that exists may be replaced.
    scratch : Path, optional
        A folder for what is unfinished, if it is on the same disc; beside the file by default.

    Raises
    ------
    UserError
        When the output cannot be written, a record has no coordinates, or a window has no place on the
        chromosomes.
    """
    path = Path(path)
    check_writable([path], overwrite, [Path(score_file_path)])
    with Publication(scratch) as publication:
        add_bigwig(publication, path, score_file_path, chrom_sizes, overlap)


def add_bigwig(
    publication: Publication,
    path: Path,
    score_file_path: str | Path,
    chrom_sizes: Mapping[str, int],
    overlap: str,
) -> None:
    """Write the same, to appear with the other files of a publication.

    Raises
    ------
    UserError
        As `write_bigwig`, but for a file that exists.
    """
    sizes = dict(sorted(chrom_sizes.items()))
    try:
        with h5py.File(score_file_path) as scores, TemporaryFile(dir=path.parent) as scratch:
            rows = _read_rows(scores, Placement(sizes))
            _sort_values(scores, rows, scratch)
            intervals = _Intervals(rows, scratch, RULES[overlap])
            _write(publication.temporary(path, ".part.bw"), sizes, intervals, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"bigWig {path} cannot be written from {score_file_path}: {reason}") from error


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the score file's N rows lie, and their order along the genome."""

    bounds: list[tuple[str, int, int]]  # chromosome, in the order of names: its slice of the sorted rows
    start: npt.NDArray[np.int64]  # [N] sorted by chromosome, start and row
    rank: npt.NDArray[np.int64]  # [N] place of each row of the score file in that order
    length: int  # L


def _read_rows(scores: h5py.File, placement: Placement) -> _Rows:
    n_rows = len(scores["regions/start"])
    codes: dict[str, int] = {}
    chrom = np.empty(n_rows, np.int64)
    for low in range(0, n_rows, _ROWS_AT_ONCE):
        for row, region in enumerate(read_regions(scores, slice(low, low + _ROWS_AT_ONCE)), start=low):
            placement.check(region)
            chrom[row] = codes.setdefault(region.chrom, len(codes))
    names = sorted(codes)
    by_name = np.array([names.index(name) for name in codes], np.int64)
    chrom, start = by_name[chrom], scores["regions/start"][:]
    order = np.lexsort((start, chrom))  # stable: rows with the same place stay in the file's order
    rank = np.empty(n_rows, np.int64)
    rank[order] = np.arange(n_rows)
    edges = np.searchsorted(chrom[order], np.arange(len(names) + 1)).tolist()
    bounds = list(zip(names, edges[:-1], edges[1:], strict=True))
    return _Rows(bounds, start[order], rank, scores["projected_shap/seq"].shape[2])


def _sort_values(scores: h5py.File, rows: _Rows, scratch: IO[bytes]) -> None:
    """Write per-base contributions, [N, L] of float32 in the order along the genome, to a scratch file.

    One pass through the score file in its own order, whatever that is: going by chromosome would unpack
    most chunks once for each.
    """
    projected = scores["projected_shap/seq"]
    if not len(projected):
        raise UserError(f"score file {scores.filename} has no rows to write as bigWig")
    step = max(1, _BYTES_AT_ONCE // (16 * rows.length) // projected.chunks[0]) * projected.chunks[0]
    for low in range(0, len(projected), step):
        here = slice(low, low + step)
        values = projected[here].sum(axis=1, dtype=np.float32)  # one channel of the four is not 0
        unsound = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if unsound.size:
            raise UserError(
                f"score file {scores.filename}, row {low + unsound[0]}: a score is not a finite number"
            )
        for rank, row in zip(rows.rank[here].tolist(), values, strict=True):
            scratch.seek(rank * row.nbytes)
            scratch.write(row.tobytes())
    scratch.flush()


class _Intervals:
    """Iterates over (chromosome, start, end, value), one base at a time; pybigtools swallows exceptions."""

    def __init__(self, rows: _Rows, scratch: IO[bytes], rule: Rule) -> None:
        self._rows, self._scratch, self._rule = rows, scratch, rule
        self.error: BaseException | None = None
        self.complete = False
        self.n_bases = 0

    def __iter__(self) -> Iterator[tuple[str, int, int, float]]:
        try:
            for chrom, low, high in self._rows.bounds:
                last = 0
                for start, values in self._rule(self._rows.start[low:high], self._values(low, high)):
                    end = start + len(values)
                    if start < last:
                        raise ValueError(f"the overlap rule gave pieces that overlap at {chrom}:{start}")
                    starts, ends = range(start, end), range(start + 1, end + 1)
                    yield from zip(repeat(chrom), starts, ends, values.tolist(), strict=False)
                    last = end
                    self.n_bases += len(values)
            self.complete = True
        except (Exception, KeyboardInterrupt, Stopped) as error:
            self.error = error
            raise

    def _values(self, low: int, high: int) -> npt.NDArray[np.float32]:
        """One chromosome's windows."""
        length = self._rows.length
        self._scratch.seek(low * length * 4)
        content = self._scratch.read((high - low) * length * 4)
        return np.frombuffer(content, np.float32).reshape(high - low, length)


def _write(temporary: Path, chrom_sizes: dict[str, int], intervals: _Intervals, path: Path) -> None:
    """Write, and look at the result.

    pybigtools 0.3.0 takes no name but one that ends in .bw, and reports a failure by a line on stderr, by a
    panic (a BaseException) where the disc is full, or not at all.
    """
    try:
        pybigtools.open(str(temporary), "w").write(chrom_sizes, iter(intervals))
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
    if intervals.error is not None:
        raise intervals.error
    if intervals.complete and _bases_covered(temporary) == intervals.n_bases:
        move_chromosomes_forward(temporary)
    if not intervals.complete or _bases_covered(temporary) != intervals.n_bases:
        raise UserError(f"bigWig {path} could not be written whole; is the disc full?")


def _bases_covered(path: Path) -> int | None:
    try:
        with pybigtools.open(str(path)) as file:
            return int(file.info()["summary"]["basesCovered"])
    except pybigtools.BBIReadError:
        return None
