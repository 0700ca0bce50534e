"""The attributes and the quality of a score file, read without its wide datasets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import row_lookup
from deeplift_cli.outputs.datasets import IDENTICAL, REFERENCE_OUTPUT, REGION_KEYS
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.stored_regions import regions_of
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.records import Region

T = TypeVar("T")

TOP = 5  # regions that `deeplift show` lists


@dataclass(frozen=True)
class Explained:
    """A region and its explained output.

    Attributes
    ----------
    row : int
        The number of the row in the score file, from 0.
    region : Region
    output : float
        The explained scalar of the sequence.
    reference_output : float or None
        The mean of the explained scalar over the references; None for in-silico mutagenesis.
    """

    row: int
    region: Region
    output: float
    reference_output: float | None

    @property
    def difference(self) -> float | None:
        """The sum of the region's contributions, up to the error of summation-to-delta; None as above."""
        return None if self.reference_output is None else self.output - self.reference_output


@dataclass(frozen=True)
class Contents:
    """The content of one score file.

    Attributes
    ----------
    reader : ScoreReader
        The reader, which has the attributes and the layout.
    identical : float or None
        The fraction of references that equal their own sequence; 0 if there are no sequences, and None for
        in-silico mutagenesis.
    top : list of Explained
        As many regions as were asked for, ordered by the difference between output and mean reference
        output; for in-silico mutagenesis, by the output.
    """

    reader: ScoreReader
    identical: float | None
    top: list[Explained]


@dataclass(frozen=True)
class Row:
    """One region with its contributions.

    Attributes
    ----------
    explained : Explained
    sequence : ndarray of int8, [4, L]
        The one-hot sequence in the order ACGT; all zero at an N.
    contributions : ndarray of float32, [L]
        The contributions of the observed bases.
    more : int
        Number of further regions with the same name in the file.
    """

    explained: Explained
    sequence: npt.NDArray[np.int8]
    contributions: npt.NDArray[np.float32]
    more: int


def read_contents(path: Path, most: int = TOP) -> Contents:
    """Read the attributes and the quality of a score file, in a child process, since HDF5 may crash.

    Parameters
    ----------
    path : Path
    most : int, optional
        The number of regions in `Contents.top`; all if the file has fewer.

    Raises
    ------
    UserError
        If the file is not a score file, or is damaged.
    """
    return _watched(path, lambda alive: _contents(ScoreReader(path), most, alive))


def read_row(path: Path, name: str) -> Row:
    """Read the first region with a name, in a child process, since HDF5 may crash.

    Raises
    ------
    UserError
        If there is no such region, or the file is not a score file, or is damaged.
    """
    return _watched(path, lambda alive: _row(ScoreReader(path), name, alive))


def _watched(path: Path, read: Callable[[Callable[[], None]], T]) -> T:
    try:
        return watched(read)
    except LostError as error:
        raise UserError(f"score file {path} is damaged: reading it, HDF5 {error}; score it again") from error


def _contents(reader: ScoreReader, most: int, alive: Callable[[], None]) -> Contents:
    has_references = reader.layout.has_references
    quality = ("qc/output", *((IDENTICAL, REFERENCE_OUTPUT) if has_references else ()))
    identical = start = 0
    top: list[Explained] = []
    for found in reader.columns([*quality, *(f"regions/{key}" for key in REGION_KEYS)]):
        sizes, means = found["qc/output"], None
        if has_references:
            identical += int(found[IDENTICAL].sum())
            means = found[REFERENCE_OUTPUT].mean(axis=1)
            sizes = sizes - means
        # The sort is stable: among equal regions the first is taken, whatever the number of rows in a batch.
        best = np.argsort(-_size(sizes), kind="stable")[:most]
        columns = {key: found[f"regions/{key}"][best] for key in REGION_KEYS}
        at_references = [None] * len(best) if means is None else means[best].tolist()
        rows = (start + best).tolist()
        outputs = found["qc/output"][best].tolist()
        further = map(Explained, rows, regions_of(columns), outputs, at_references)
        top = sorted([*top, *further], key=_order)[:most]
        start += len(sizes)
        alive()
    pairs = reader.n_rows * reader.layout.n_references
    return Contents(reader, identical / max(1, pairs) if has_references else None, top)


def _order(one: Explained) -> Any:
    return -_size(one.output if one.difference is None else one.difference)


def _size(difference: Any) -> Any:
    """Return the key by which regions are ordered; NaN comes last."""
    return np.nan_to_num(np.abs(difference), nan=-1.0)


def _row(reader: ScoreReader, name: str, alive: Callable[[], None]) -> Row:
    rows = row_lookup.rows_named(reader, name, alive)
    row = row_lookup.read_row(reader, rows[0])
    explained = Explained(row.index, row.region, row.output, row.reference_output)
    return Row(explained, row.sequence, row.contributions, len(rows) - 1)
