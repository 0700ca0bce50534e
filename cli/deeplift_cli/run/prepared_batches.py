"""Batches with their references: everything about a batch that comes before the model."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import deeplift_references
from deeplift_cli.errors import UserError
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.steps import step
from deeplift_cli.run.batches import Batch, Records
from deeplift_cli.sequences import Skipped
from deeplift_references import Reference

# Rows of a first pass over the input, which runs no model.
OBSERVED_ROWS = 256
# Columns that are compared first: a shuffle that is equal to its sequence here is likely to be equal.
_COMPARED_FIRST = 64


@dataclass(frozen=True)
class Prepared:
    """A batch that is ready for the model.

    Attributes
    ----------
    number : int
        The batch's own among those of the whole job.
    batch : Batch
        N sequences.
    references : float32 array [N, R, 4, L], or [R, 4, L] where one set serves all
    identical : int array [N]
        How many references are equal to the sequence.
    """

    number: int
    batch: Batch
    references: npt.NDArray[np.float32]
    identical: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Earlier:
    """A batch that an earlier run finished.

    Attributes
    ----------
    batch : Batch
        N sequences.
    numbers : list of mappings of str to array [N - M, ...]
        For each target, what its score file has beside scores: qc/output and so on.
    skipped : list of Skipped, [M]
        Records whose scores were not finite, and which have no row.
    references : float32 array [N, R, 4, L], or None
        None if the references are not saved.
    """

    batch: Batch
    numbers: Sequence[Mapping[str, npt.NDArray[Any]]]
    skipped: Sequence[Skipped]
    references: npt.NDArray[np.float32] | None


class Preparation:
    """Makes batches and their references.

    Parameters
    ----------
    records : Records
    reference : Reference
    path : Path
        The records' file, for messages.
    saved : bool
        Whether the references are to be saved, so that those of finished batches are made, too.
    """

    def __init__(self, records: Records, reference: Reference, path: Path, *, saved: bool) -> None:
        self._records = records
        self._reference = reference
        self._path = path
        self._saved = saved

    def batches(
        self,
        rows: int,
        share: range,
        earlier: Callable[[int, Batch], Earlier | None],
        skip: Callable[[Skipped], None],
    ) -> Generator[Prepared | Earlier, None, None]:
        """Go through the input, so many rows at a time.

        Parameters
        ----------
        rows : int
        share : range
            See `Records.batches`.
        earlier : callable
            Gets each batch with its number, and finds it among those that need not be scored.
        skip : callable
            Gets records that cannot be scored.

        Raises
        ------
        UserError
            If a record has no references.
        """
        with step("reading sequences", self._path):
            batches = enumerate(self._records.batches(rows, share, skip), start=share.start)
            yield from self._batches(batches, earlier)

    def _batches(
        self, batches: Iterator[tuple[int, Batch]], earlier: Callable[[int, Batch], Earlier | None]
    ) -> Generator[Prepared | Earlier, None, None]:
        for number, batch in batches:
            found = earlier(number, batch)
            if found is None:
                yield self._prepared(number, batch)
            elif self._saved and not self._reference.shared:
                yield replace(found, references=self._references(batch))
            else:
                yield found

    def _prepared(self, number: int, batch: Batch) -> Prepared:
        references = self._references(batch)
        identical = count_identical(references, batch.sequences)
        shared = self._reference.shared and bool(batch.sequences.any(axis=1).all())
        return Prepared(number, batch, references[0] if shared else references, identical)

    def _references(self, batch: Batch) -> npt.NDArray[np.float32]:
        rows = np.array([region.index for region in batch.regions])
        with about_references():
            return self._reference(batch.sequences, rows)


@contextmanager
def about_references() -> Iterator[None]:
    """Within, what references refuse is told in one line.

    Raises
    ------
    UserError
    """
    try:
        yield
    except ValueError as error:
        raise UserError(f"references: {error}") from error


def make_reference(options: ScoreOptions, length: int) -> Reference:
    """Return the references that the options choose, for sequences of L bases; none has been observed.

    Raises
    ------
    UserError
        If there are no such references, or their file cannot be used.
    """
    with about_references():
        return deeplift_references.make(
            options.reference,
            n_references=options.n_references,
            seed=options.seed,
            frequencies=options.frequencies,
            length=length,
        )


def count_identical(
    references: npt.NDArray[np.float32], sequences: npt.NDArray[np.int8]
) -> npt.NDArray[np.int64]:
    """How many references [N, R, 4, L] of each sequence [N, 4, L] are equal to it: [N]."""
    first = slice(_COMPARED_FIRST)
    identical = (references[..., first] == sequences[:, None, :, first]).all(axis=(-1, -2))
    for row, reference in np.argwhere(identical):
        identical[row, reference] = np.array_equal(references[row, reference], sequences[row])
    counts: npt.NDArray[np.int64] = identical.sum(axis=1)
    return counts
