"""Per-base contributions of a score file in the order of the genome, each base once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.chrom_sizes import Placement, may_pass_ends
from deeplift_cli.outputs.overlaps import RULES, Rule
from deeplift_cli.outputs.registry import Export
from deeplift_cli.sequences.records import Region

_OBSERVED, _SEQUENCES = "projected_shap/seq", "raw/seq"

Pieces = Iterator[tuple[str, int, npt.NDArray[np.float32]]]


@contextmanager
def pieces(export: Export) -> Iterator[Pieces]:
    """Yield the contributions of the observed bases in the order of the genome, one value per base.

    Parameters
    ----------
    export : Export
        Its option "overlap", a name of `overlaps.RULES`, chooses the value of a position in several windows.

    Yields
    ------
    iterator of (str, int, float32 array [n])
        Chromosome, start and values of pieces that are sorted by the bytes of the chromosomes' names and by
        start, and do not overlap. Positions without a base (N) are in no piece.

    Raises
    ------
    UserError
        Before the first piece: if the score file has no rows, holds a value that is not finite, or is
        damaged; or if a window lies outside its chromosome, as far as the lengths are known.
    """
    with TemporaryFile(dir=export.path.parent) as scratch:
        rows = _read_rows(export, scratch)
        disjoint = _disjoint(rows, scratch, RULES[export.options["overlap"]])
        yield _without_gaps(_on_chromosomes(disjoint, export.chrom_sizes))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The score file's N rows, in their order along the genome."""

    bounds: list[tuple[str, int, int]]  # each chromosome, by name, and the slice of its sorted rows
    start: npt.NDArray[np.int64]  # [N] sorted by chromosome, start and row
    order: npt.NDArray[np.int64]  # [N] places in the score file of the sorted rows
    length: int  # L


def _read_rows(export: Export, scratch: IO[bytes]) -> _Rows:
    """Read where rows lie, and write per-base contributions, float32 [N, L], to a scratch file.

    Positions without a base are NaN there. The score file is read once, in its own order: reading it
    chromosome by chromosome would unpack most chunks once per chromosome.
    """
    scores = export.scores
    padded = may_pass_ends(scores.attrs)
    if not scores.n_rows:
        raise UserError(f"score file {scores.path} has no rows to write to {export.path}")
    placement = None if export.chrom_sizes is None else Placement(export.chrom_sizes, padded=padded)
    codes: dict[str, int] = {}
    chrom, start = np.empty((2, scores.n_rows), np.int64)
    for batch in export.batches(_OBSERVED, _SEQUENCES):
        for row, region in enumerate(batch.regions, start=batch.rows.start):
            _check_place(region, placement, padded, scores.path)
            chrom[row] = codes.setdefault(region.chrom, len(codes))
            start[row] = region.start
        # One channel of the four is not 0.
        values = batch.values(_OBSERVED).sum(axis=1, dtype=np.float32)
        unsound = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if unsound.size:
            row = batch.rows.start + unsound[0]
            raise UserError(f"score file {scores.path}, row {row}: a score is not a finite number")
        values[~batch.values(_SEQUENCES).any(axis=1)] = np.nan
        scratch.write(values.tobytes())
    scratch.flush()
    names = sorted(codes)
    by_name = np.array([names.index(name) for name in codes], np.int64)
    chrom = by_name[chrom]
    order = np.lexsort((start, chrom))  # stable: rows with the same place stay in the file's order
    edges = np.searchsorted(chrom[order], np.arange(len(names) + 1)).tolist()
    bounds = list(zip(names, edges[:-1], edges[1:], strict=True))
    return _Rows(bounds, start[order], order, scores.layout.length)


def _check_place(region: Region, placement: Placement | None, padded: bool, path: Path) -> None:
    if placement is not None:
        placement.check(region)
    elif region.start < 0 and not padded:
        raise UserError(
            f"window {region.chrom}:{region.start}-{region.end} ({region.name}) of score file {path} begins "
            "before its chromosome"
        )


def _disjoint(rows: _Rows, scratch: IO[bytes], rule: Rule) -> Pieces:
    for chrom, low, high in rows.bounds:
        last: int | None = None
        for start, values in rule(rows.start[low:high], _values(rows, scratch, low, high)):
            if last is not None and start < last:
                raise ValueError(f"the overlap rule gave pieces that overlap at {chrom}:{start}")
            yield chrom, start, values
            last = start + len(values)


def _on_chromosomes(pieces: Pieces, chrom_sizes: Mapping[str, int] | None) -> Pieces:
    """Cut off padding with N beyond the ends of chromosomes, as far as the lengths are known."""
    for chrom, start, values in pieces:
        size = None if chrom_sizes is None else chrom_sizes[chrom]
        first, last = max(start, 0), start + len(values) if size is None else min(start + len(values), size)
        if first < last:
            yield chrom, first, values[first - start : last - start]


def _without_gaps(pieces: Pieces) -> Pieces:
    """Leave out positions that are NaN, and divide pieces there."""
    for chrom, start, values in pieces:
        outside = np.concatenate([[True], np.isnan(values), [True]])
        for low, high in np.flatnonzero(np.diff(outside)).reshape(-1, 2).tolist():
            yield chrom, start + low, values[low:high]


def _values(rows: _Rows, scratch: IO[bytes], low: int, high: int) -> npt.NDArray[np.float32]:
    """Return the values [n, L] of one chromosome's windows in their order."""
    values = np.empty((high - low, rows.length), np.float32)
    for value, place in zip(values, rows.order[low:high].tolist(), strict=True):
        scratch.seek(place * value.nbytes)
        value[:] = np.frombuffer(scratch.read(value.nbytes), np.float32)
    return values
