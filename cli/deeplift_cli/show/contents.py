"""What a score file says of itself, read without its wide datasets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import REGION_KEYS
from deeplift_cli.outputs.score_reader import ScoreReader, regions_of
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.records import Region

T = TypeVar("T")

TOP = 5  # regions that are listed
_NAMED = 3  # regions that a message names
_SHOWN = 200  # characters of the name that was asked for


@dataclass(frozen=True)
class Explained:
    """A region and what was explained there.

    Attributes
    ----------
    region : Region
    output : float
        The explained scalar of the sequence.
    reference_output : float
        Its mean over the references.
    """

    region: Region
    output: float
    reference_output: float

    @property
    def difference(self) -> float:
        """What the contributions of the region add up to, up to the error of summation-to-delta."""
        return self.output - self.reference_output


@dataclass(frozen=True)
class Contents:
    """One score file.

    Attributes
    ----------
    reader : ScoreReader
        Its attributes and layout.
    identical : float
        The share of references that are equal to their own sequence; 0 where there are no sequences.
    top : list of Explained
        The regions whose output is farthest from its references', at most `TOP`, the farthest first.
    """

    reader: ScoreReader
    identical: float
    top: list[Explained]


@dataclass(frozen=True)
class Row:
    """One region with its contributions.

    Attributes
    ----------
    explained : Explained
    sequence : ndarray of int8, [4, L]
        One-hot, ACGT; all zero where there is no base.
    contributions : ndarray of float32, [L]
        Of the observed bases.
    more : int
        Further regions of the same name in the file.
    """

    explained: Explained
    sequence: npt.NDArray[np.int8]
    contributions: npt.NDArray[np.float32]
    more: int


def read_contents(path: Path) -> Contents:
    """Read what a score file says of itself, in a process that the file cannot harm.

    Raises
    ------
    UserError
        If it is not a score file, or damaged.
    """
    return _watched(path, lambda alive: _contents(ScoreReader(path), alive))


def read_row(path: Path, name: str) -> Row:
    """Read the first region of a name, in a process that the file cannot harm.

    Raises
    ------
    UserError
        If there is none, or the file is not a score file, or damaged.
    """
    return _watched(path, lambda alive: _row(ScoreReader(path), name, alive))


def _watched(path: Path, read: Callable[[Callable[[], None]], T]) -> T:
    try:
        return watched(read)
    except LostError as error:
        raise UserError(f"score file {path} is damaged: reading it, HDF5 {error}; score it again") from error


def _contents(reader: ScoreReader, alive: Callable[[], None]) -> Contents:
    quality = ("qc/identical_references", "qc/output", "qc/reference_output")
    identical = 0
    top: list[Explained] = []
    for found in reader.columns([*quality, *(f"regions/{key}" for key in REGION_KEYS)]):
        counts, output, at_references = (found[name] for name in quality)
        identical += int(counts.sum())
        mean = at_references.mean(axis=1)
        # A stable sort: of equal ones the first, whatever the number of rows that are read at once.
        best = np.argsort(-_size(output - mean), kind="stable")[:TOP]
        columns = {key: found[f"regions/{key}"][best] for key in REGION_KEYS}
        rows = zip(regions_of(columns), output[best].tolist(), mean[best].tolist(), strict=True)
        top = sorted([*top, *(Explained(*row) for row in rows)], key=lambda one: -_size(one.difference))[:TOP]
        alive()
    pairs = reader.n_rows * reader.layout.n_references
    return Contents(reader, identical / max(1, pairs), top)


def _size(difference: Any) -> Any:
    """What regions are ordered by; what is no number comes last."""
    return np.nan_to_num(np.abs(difference), nan=-1.0)


def _row(reader: ScoreReader, name: str, alive: Callable[[], None]) -> Row:
    wanted = name.encode("utf-8", "surrogateescape")
    first: list[str] = []
    places: list[int] = []
    start = 0
    for found in reader.columns(["regions/name"]):
        names = found["regions/name"]
        first += [text.decode("utf-8", "surrogateescape") for text in names[: _NAMED - len(first)]]
        places += (start + np.flatnonzero(names == wanted)).tolist()
        start += len(names)
        alive()
    if not places:
        some = ", ".join(map(printed, first)) + (", ..." if start > len(first) else "")
        raise UserError(
            f"score file {reader.path} has no region named {name[:_SHOWN]!r}; "
            + (f"its {start:,} regions are {some}" if first else "it has none at all")
        )
    with compressing_threads() as pool:
        batch = reader.around(places[0], pool)
    place = places[0] - batch.rows.start
    output, at_references = (batch.numbers[f"qc/{key}"][place] for key in ("output", "reference_output"))
    explained = Explained(batch.regions[place], float(output), float(at_references.mean()))
    contributions = batch.values("projected_shap/seq")[place].sum(axis=0, dtype=np.float32)
    return Row(explained, batch.values("raw/seq")[place], contributions, len(places) - 1)
