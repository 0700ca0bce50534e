"""One row of a score file: found by its name, by a region of the genome or by its number, and read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.options.rows import Locus, Wanted
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import REFERENCE_OUTPUT, REGION_KEYS, STANDARD_ERRORS
from deeplift_cli.outputs.row_search import COMPARED, Ways, check_row, no_such_name, row_at, row_named
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.stored_regions import regions_of
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.records import Region

T = TypeVar("T")

_WAYS = Ways(by_row="--index", by_name="--name", this_row="--index {}", this_place="--region {}")


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

    return _watched(path, read)


def read_chromosomes(path: Path) -> set[str]:
    """Return the chromosomes of all rows, read in a child process as `read_wanted_row` does.

    Raises
    ------
    UserError
        If the file is not a score file, or is damaged.
    """

    def read(alive: Callable[[], None]) -> set[str]:
        return {region.chrom for region in _regions(ScoreReader(path), alive)}

    return _watched(path, read)


def _watched(path: Path, read: Callable[[Callable[[], None]], T]) -> T:
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
        If no row or several rows are meant, in which case the message names rows that may be meant, or if the
        file is damaged.
    """

    def regions() -> Iterator[Region]:
        return _regions(reader, alive)

    if isinstance(wanted, str):
        return row_named(wanted, rows_named(reader, wanted, alive), regions, reader.path, _WAYS)
    if isinstance(wanted, Locus):
        return row_at(wanted, regions, reader.path, _WAYS)
    check_row(wanted, reader.n_rows, reader.path)
    return wanted


def rows_named(reader: ScoreReader, name: str, alive: Callable[[], None]) -> list[int]:
    """Return the numbers of all rows with this name, at least one.

    Raises
    ------
    UserError
        If there is no such row, in which case the message has similar names, or if the file is damaged.
    """
    wanted = name.encode("utf-8", "surrogateescape")
    places: list[int] = []
    names: list[str] = []
    start = 0
    for found in reader.columns(["regions/name"]):
        column = found["regions/name"]
        places += (start + np.flatnonzero(column == wanted)).tolist()
        if not places and len(names) < COMPARED:
            names += [text.decode("utf-8", "surrogateescape") for text in column[: COMPARED - len(names)]]
        start += len(column)
        alive()
    if places:
        return places
    raise no_such_name(name, names, start, reader.path)


def _regions(reader: ScoreReader, alive: Callable[[], None]) -> Iterator[Region]:
    for found in reader.columns([f"regions/{key}" for key in REGION_KEYS]):
        yield from regions_of({key: found[f"regions/{key}"] for key in REGION_KEYS})
        alive()
