"""Counts of the bases of sequences, position by position."""

import numpy as np
import numpy.typing as npt

from deeplift_cli.sequences.encode import one_hot
from deeplift_cli.sequences.records import Record

_LETTERS_AT_ONCE = 2**22  # number of letters whose bases are counted in one call


class BaseCounts:
    """The number of sequences with each base, at each position.

    Parameters
    ----------
    length : int
        The length of the sequences.
    """

    def __init__(self, length: int) -> None:
        self._counts = np.zeros((2, 4, length), np.int64)
        self._waiting: tuple[list[bytes], list[bytes]] = ([], [])
        self._most = max(_LETTERS_AT_ONCE // (4 * length), 1)

    def add(self, record: Record) -> None:
        """Add the bases of a record."""
        waiting = self._waiting[record.is_on_minus_strand]
        waiting.append(record.letters)
        if len(waiting) == self._most:
            self._count()

    def _count(self) -> None:
        for counts, waiting in zip(self._counts, self._waiting, strict=True):
            if waiting:
                counts += one_hot(waiting).sum(axis=0, dtype=np.int64)
                waiting.clear()

    def total(self) -> npt.NDArray[np.int64]:
        """Return the counts of all added records: [2, 4, L]."""
        self._count()
        return self._counts
