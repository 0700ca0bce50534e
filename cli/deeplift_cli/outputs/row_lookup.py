"""One row of a score file: found by its name, by a region of the genome or by its number, and read."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.options.rows import Locus, Wanted
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import REFERENCE_OUTPUT, REGION_KEYS, STANDARD_ERRORS
from deeplift_cli.outputs.score_reader import ScoreReader, regions_of
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.names import ChromosomeNames, printed
from deeplift_cli.sequences.records import Region

_NAMED = 3  # regions that a message names
_SHOWN = 200  # characters of an unknown name that a message shows
_COMPARED = 20_000  # names that are compared with a misspelt one, which takes some 10 us each


@dataclass(frozen=True)
class ScoreRow:
    """One row of a score file.

    Attributes
    ----------
    path : Path
        The score file.
    index : int
        The number of the row, from 0.
    region : Region
    sequence : ndarray of int8, [4, L]
        The one-hot sequence in the order ACGT; all zero at an N.
    contributions : ndarray of float32, [L]
        The contributions of the observed bases.
    hypothetical : ndarray of float32, [4, L]
        The hypothetical contributions.
    standard_error : ndarray of float32, [L], or None
        The standard error of each observed base's contribution; None if the file does not hold any.
    output : float
        The explained scalar of the sequence.
    reference_output : float or None
        Its mean over the references; None for in-silico mutagenesis, which has no references.
    """

    path: Path
    index: int
    region: Region
    sequence: npt.NDArray[np.int8]
    contributions: npt.NDArray[np.float32]
    hypothetical: npt.NDArray[np.float32]
    standard_error: npt.NDArray[np.float32] | None
    output: float
    reference_output: float | None


def read_wanted_row(path: Path, wanted: Wanted) -> tuple[ScoreReader, ScoreRow]:
    """Find and read one row, in a child process, since HDF5 may crash.

    Parameters
    ----------
    path : Path
    wanted : str, Locus or int
        The name of a region, a place that the row's window covers, or the number of the row from 0.

    Returns
    -------
    tuple of ScoreReader and ScoreRow

    Raises
    ------
    UserError
        As `find_row`; or if the file is not a score file, or is damaged.
    """

    def read(alive: Callable[[], None]) -> tuple[ScoreReader, ScoreRow]:
        reader = ScoreReader(path)
        return reader, read_row(reader, find_row(reader, wanted, alive))

    try:
        return watched(read)
    except LostError as error:
        raise UserError(f"score file {path} is damaged: reading it, HDF5 {error}; score it again") from error


def read_row(reader: ScoreReader, row: int) -> ScoreRow:
    """Read the row of this number.

    Raises
    ------
    UserError
        If something cannot be read, with the dataset's name and the rows.
    """
    with compressing_threads() as pool:
        batch = reader.around(row, pool)
    place = row - batch.rows.start
    errors, at_references = (batch.numbers.get(name) for name in (STANDARD_ERRORS, REFERENCE_OUTPUT))
    return ScoreRow(
        path=reader.path,
        index=row,
        region=batch.regions[place],
        sequence=batch.values("raw/seq")[place],
        contributions=batch.values("projected_shap/seq")[place].sum(axis=0, dtype=np.float32),
        hypothetical=batch.values("shap/seq")[place].astype(np.float32),
        standard_error=None if errors is None else errors[place],
        output=float(batch.numbers["qc/output"][place]),
        reference_output=None if at_references is None else float(at_references[place].mean()),
    )


def find_row(reader: ScoreReader, wanted: Wanted, alive: Callable[[], None]) -> int:
    """Return the number of the one row that is meant, from 0.

    Parameters
    ----------
    reader : ScoreReader
    wanted : str, Locus or int
        The name of a region; or a place: the row's window is this place, or else covers the place; or the
        number of the row from 0.
    alive : callable
        Called now and then, as a sign of life.

    Raises
    ------
    UserError
        If no row or several rows are meant; the message names rows that may be meant. Or if the file is
        damaged.
    """
    if isinstance(wanted, str):
        return _one(
            reader, rows_named(reader, wanted, alive), f"the name {wanted[:_SHOWN]!r}", "--index", alive
        )
    if isinstance(wanted, Locus):
        return _row_at(reader, wanted, alive)
    if 0 <= wanted < reader.n_rows:
        return wanted
    if not reader.n_rows:
        raise UserError(f"score file {reader.path} has no regions at all")
    raise UserError(
        f"score file {reader.path} has no row {wanted:,}: its {reader.n_rows:,} rows are numbered from 0 to "
        f"{reader.n_rows - 1:,}, as the lines of its .bed file"
    )


def rows_named(reader: ScoreReader, name: str, alive: Callable[[], None]) -> list[int]:
    """Return the numbers of all rows with this name, at least one.

    Raises
    ------
    UserError
        If there is no such row; the message names similar names. Or if the file is damaged.
    """
    wanted = name.encode("utf-8", "surrogateescape")
    places: list[int] = []
    names: list[str] = []
    start = 0
    for found in reader.columns(["regions/name"]):
        column = found["regions/name"]
        places += (start + np.flatnonzero(column == wanted)).tolist()
        if not places and len(names) < _COMPARED:
            names += [text.decode("utf-8", "surrogateescape") for text in column[: _COMPARED - len(names)]]
        start += len(column)
        alive()
    if places:
        return places
    some = ", ".join(map(printed, names[:_NAMED])) + (", ..." if start > _NAMED else "")
    similar = similar_names(name, names)
    raise UserError(
        f"score file {reader.path} has no region named {name[:_SHOWN]!r}; "
        + (f"its {start:,} regions are {some}" if names else "it has no regions at all")
        + (f"; similar names are {', '.join(map(printed, similar))}" if similar else "")
    )


def similar_names(name: str, names: list[str]) -> list[str]:
    """Return at most three names that may be meant: equal but for case, containing the name, or similar."""
    folded = name.casefold()
    containing = (known for known in names if folded and folded in known.casefold())
    near = difflib.get_close_matches(name, names, _NAMED)
    same = (known for known in names if known.casefold() == folded)
    return list(dict.fromkeys((*islice(same, _NAMED), *near, *islice(containing, _NAMED))))[:_NAMED]


def _regions(reader: ScoreReader, alive: Callable[[], None]) -> Iterator[tuple[int, Region]]:
    row = 0
    for found in reader.columns([f"regions/{key}" for key in REGION_KEYS]):
        for region in regions_of({key: found[f"regions/{key}"] for key in REGION_KEYS}):
            yield row, region
            row += 1
        alive()


def _row_at(reader: ScoreReader, wanted: Locus, alive: Callable[[], None]) -> int:
    exact: list[int] = []
    covering: list[int] = []
    largest: tuple[int, int, Region] | None = None  # the largest overlap in bp, its row and region
    nearest: tuple[int, Region] | None = None  # the distance between the centres, doubled
    chroms: dict[str, None] = {}
    for row, region in _regions(reader, alive):
        chroms[region.chrom] = None
        if region.chrom != wanted.chrom:
            continue
        if (region.start, region.end) == (wanted.start, wanted.end):
            exact.append(row)
        if region.start <= wanted.start and wanted.end <= region.end:
            covering.append(row)
        overlap = min(region.end, wanted.end) - max(region.start, wanted.start)
        if overlap > (0 if largest is None else largest[0]):
            largest = overlap, row, region
        distance = abs(region.start + region.end - wanted.start - wanted.end)
        if nearest is None or distance < nearest[0]:
            nearest = distance, region
    if exact or covering:
        return _one(reader, exact or covering, str(wanted), "--name or --index", alive)
    if largest is not None:
        raise UserError(_covered_in_part(reader, wanted, *largest[1:]))
    if nearest is not None:
        raise UserError(
            f"no region of score file {reader.path} covers all of {printed(str(wanted))}; the nearest on "
            f"{printed(wanted.chrom)} is {_described(nearest[1])}"
        )
    if not chroms:
        raise UserError(f"score file {reader.path} has no regions at all")
    names = ChromosomeNames(chroms).compare(printed(wanted.chrom), "there is none on", "its regions are on")
    raise UserError(f"no region of score file {reader.path} covers {printed(str(wanted))}: {names}")


def _covered_in_part(reader: ScoreReader, wanted: Locus, row: int, region: Region) -> str:
    """Return a message with what can be drawn of a place that no window covers, such as a whole peak."""
    start, end = max(region.start, wanted.start), min(region.end, wanted.end)
    return (
        f"no region of score file {reader.path} covers all of {printed(str(wanted))}; a part of it is in "
        f"{_described(region)}: give --region {printed(region.chrom)}:{start}-{end} for the part, or "
        f"--index {row} for the whole window"
    )


def _one(reader: ScoreReader, rows: list[int], what: str, remedy: str, alive: Callable[[], None]) -> int:
    """Return the only row, or refuse several."""
    if len(rows) == 1:
        return rows[0]
    some = set(rows[:_NAMED])
    named = [f"{row} ({_described(region)})" for row, region in _regions(reader, alive) if row in some]
    raise UserError(
        f"{len(rows):,} rows of score file {reader.path} fit {what}: {', '.join(named)}"
        + (", ..." if len(rows) > _NAMED else "")
        + f"; say which by {remedy}"
    )


def _described(region: Region) -> str:
    place = str(Locus(printed(region.chrom), region.start, region.end))
    # The name of a region without one is its place in the file of regions, which the window need not equal.
    return place if region.name in (region.chrom, place) else f"{printed(region.name)}, window {place}"
