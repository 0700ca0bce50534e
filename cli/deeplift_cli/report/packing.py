"""Contributions and bases of one region in few bytes, from which the page draws a logo.

A contribution becomes a whole number from -127 to 127, in units of the region's largest contribution divided
by 127: the rounding is at most 0.4 % of the tallest letter. A base takes two bits. The contributions are
compressed by deflate, which browsers decompress; the bases are not, since letters of DNA do not become
smaller.
"""

import heapq
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = 127
NO_BASE = -128  # in place of a contribution where the sequence has no base
_LEVEL = 9
_GROUP = 3  # bytes that base64 writes as four characters


@dataclass(frozen=True, slots=True)
class PackedRow:
    """One region.

    Attributes
    ----------
    content : bytes
        Two bits for each base (A, C, G, T are 0 to 3; the first base has the lowest bits; 0 where there is
        no base), in whole bytes; then a raw deflate stream of L signed bytes.
    largest : float
        The largest absolute contribution, which 127 stands for.
    """

    content: bytes
    largest: float

    @property
    def size(self) -> int:
        """Bytes on the page before base64, in which each region begins a new group of characters."""
        return -(-len(self.content) // _GROUP) * _GROUP

    @property
    def padded(self) -> bytes:
        """The content, filled with zeros to its size."""
        return self.content.ljust(self.size, b"\0")


def pack(sequence: npt.NDArray[np.int8], contributions: npt.NDArray[Any]) -> PackedRow:
    """Pack a region.

    Parameters
    ----------
    sequence : ndarray of int8, [4, L]
        One-hot, in the order ACGT; all zero at an N.
    contributions : ndarray, [L]
        Contributions of the observed bases, finite.
    """
    largest = float(np.abs(contributions).max(initial=0.0))
    # The units are computed in float64, since the smallest numbers of float32 divided by 127 would be 0.
    units = np.rint(contributions.astype(np.float64) * (LEVELS / largest)) if largest else contributions
    known = np.bitwise_or.reduce(sequence, axis=0) != 0
    values = np.where(known, units, NO_BASE).astype(np.int8)
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return PackedRow(_two_bits(sequence) + deflate.compress(values.tobytes()) + deflate.flush(), largest)


def _two_bits(sequence: npt.NDArray[np.int8]) -> bytes:
    bases = (sequence[1] + 2 * sequence[2] + 3 * sequence[3]).astype(np.uint8)
    places = np.zeros(-(-len(bases) // 4) * 4, np.uint8)
    places[: len(bases)] = bases
    shifted = places.reshape(-1, 4) << np.arange(0, 8, 2, dtype=np.uint8)
    return bytes(np.bitwise_or.reduce(shifted, axis=1))


class BestRows:
    """The rows of the best ranks that fit a limit together, whatever the order in which they come.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: list[tuple[int, PackedRow]] = []  # a heap: the worst rank is first, as it is negative
        self._best_dropped: int | None = None

    def wants(self, rank: int) -> bool:
        """Return whether a row of this rank may still fit; the best rank is 0."""
        return self._best_dropped is None or rank < self._best_dropped

    def add(self, rank: int, row: PackedRow) -> None:
        """Add a row of a rank that no other row has, and drop the worst rows that do not fit any more."""
        if self.wants(rank):
            heapq.heappush(self._kept, (-rank, row))
            self._size += row.size
            self.shrink(self._limit)

    def shrink(self, limit: int) -> None:
        """Drop the worst rows until the others fit another limit in bytes."""
        self._limit = limit
        while self._size > limit:
            negative, row = heapq.heappop(self._kept)
            self._best_dropped = -negative
            self._size -= row.size

    def rows(self) -> dict[int, PackedRow]:
        """Return the rows by their ranks, the best first."""
        return {-negative: row for negative, row in sorted(self._kept, key=lambda kept: -kept[0])}
