"""The expected one-hot of shuffles; import it inside functions, as numba takes half a second to load.

For mononucleotide shuffles the expectation is exact: at every position of a run of bases, the share of each
base in the run. For dinucleotide shuffles it is estimated without bias: the mean of shuffles, each of which
is averaged over many rotations. Cut a shuffle at all visits of one base: the pieces between the first visit
and the last are closed walks, which may follow each other in any order. To move the first j of these pieces
behind the others is therefore a bijection on all sequences with the same dinucleotides and ends (the number
of visits is one of the things that these have in common). The rotated shuffle is therefore again a uniform
draw, and the mean over any fixed rotations has the same expectation as the shuffle itself. A rotation costs a
fraction of a new shuffle. Where the base is the first of the run, its first visit is at the beginning, so
that rotations reach all positions but those behind its last visit; where it is the last of the run, all but
those before its first visit. Hence the first base serves the first half of the positions, and the last base
the second half.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_references.encoding import NO_BASE
from deeplift_references.kernels import Integer, State, entry_point, helper, shuffle_one_hot

Float = npt.NDArray[np.float32]

# The bytes of the shuffles of a sequence that are in memory at a time.
_CHUNK_BYTES = 4 << 20


def expect_after_mononucleotide_shuffles(codes: npt.NDArray[np.uint8]) -> Float:
    """Return the share of each base in each maximal run of bases, at every position of the run.

    Parameters
    ----------
    codes : uint8 [N, L]
        0 1 2 3 for ACGT, 4 for no base.

    Returns
    -------
    float32 [N, 4, L]
        Zero where there is no base.
    """
    count, length = codes.shape
    present = codes != NO_BASE
    # Positions of one run have as many gaps before them in their row.
    run = np.cumsum(~present, axis=1) + np.arange(count)[:, None] * (length + 1)
    counts = np.bincount(run[present] * 4 + codes[present], minlength=count * (length + 1) * 4).reshape(-1, 4)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    expected: Float = np.where(present[:, :, None], shares[run], 0).astype(np.float32).transpose(0, 2, 1)
    return np.ascontiguousarray(expected)


def expect_after_dinucleotide_shuffles(
    codes: npt.NDArray[np.uint8], states: State, shuffles: int, rotations: int
) -> Float:
    """Return an estimate, without bias, of the expectation of `shuffle_one_hot` for each sequence.

    Parameters
    ----------
    codes : uint8 [N, L]
        0 1 2 3 for ACGT, 4 for no base.
    states : uint64 [N, 4]
        The argument of `shuffle_one_hot`.
    shuffles : int
        Number of shuffles that are drawn for each sequence.
    rotations : int
        The largest number of rotations of each shuffle.

    Returns
    -------
    float32 [N, 4, L]
        Zero where there is no base.
    """
    count, length = codes.shape
    expected = np.zeros((count, 4, length), dtype=np.float32)
    size = min(shuffles, max(1, _CHUNK_BYTES // (16 * max(length, 1))))
    for row in range(count):
        taken = np.ones(length, dtype=np.int64)
        for first in range(0, shuffles, size):
            drawn = np.zeros((1, min(size, shuffles - first), 4, length), dtype=np.float32)
            shuffle_one_hot(codes[row : row + 1], states[row : row + 1], True, drawn)
            add_rotations(codes[row], drawn[0], rotations, expected[row], taken)
        expected[row] /= taken * shuffles
    return expected


@helper
def _add(values: Float, out: Float) -> None:
    """Add values to an array of the same length, in a loop that the compiler vectorises."""
    for place in range(out.size):
        out[place] += values[place]


@helper
def _add_rotations_about(
    shuffled: Float,
    base: Integer,
    most: Integer,
    begin: Integer,
    start: Integer,
    stop: Integer,
    end: Integer,
    out: Float,
) -> Any:
    """Add rotations of a shuffled run [4, L] to the positions from ``start`` to ``stop`` of ``out`` [4, L].

    The run lies from ``begin`` to ``end``. The rotations are those about the visits of a base of the run; at
    most ``most`` of these are taken, evenly spread, and their number is returned.
    """
    visits = np.empty(end - begin, dtype=np.int64)
    count = 0
    for position in range(begin, end):
        if shuffled[base, position] != 0:
            visits[count] = position
            count += 1
    first, last = visits[0], visits[count - 1]
    pieces = max(count - 1, 1)
    taken = min(pieces, most)
    low = max(start, first)
    high = max(low, min(stop, last))
    for channel in range(4):
        for position in range(start, min(first, stop)):
            out[channel, position] += taken * shuffled[channel, position]
        for position in range(max(last, start), stop):
            out[channel, position] += taken * shuffled[channel, position]
    for rotation in range(taken):
        moved = visits[rotation * pieces // taken] - first
        turn = max(low, min(high, last - moved))  # from here on, what is read starts again at the first visit
        back = moved - (last - first)
        for channel in range(4):
            _add(shuffled[channel, low + moved : turn + moved], out[channel, low:turn])
            _add(shuffled[channel, turn + back : high + back], out[channel, turn:high])
    return taken


@entry_point("void(uint8[::1], float32[:, :, ::1], int64, float32[:, ::1], int64[::1])")
def add_rotations(
    codes: npt.NDArray[np.uint8],
    shuffles: Float,
    most: int,
    out: Float,
    taken: npt.NDArray[np.int64],
) -> None:
    """Add the rotations of all shuffles of one sequence, for each run of bases by itself.

    Parameters
    ----------
    codes : uint8 [L]
        The sequence: 0 1 2 3 for ACGT, 4 for no base.
    shuffles : float32 [B, 4, L]
        One-hot dinucleotide shuffles of the sequence.
    most : int
        The largest number of rotations of each shuffle.
    out : float32 [4, L]
        The sums, to which the call adds.
    taken : int64 [L]
        Gets the number of rotations of each shuffle, which is the same for all shuffles of a sequence.
    """
    length = codes.size
    stop = 0
    while stop < length:
        start = stop
        while stop < length and codes[stop] < 4:
            stop += 1
        if stop > start:
            middle = (start + stop) // 2
            for number in range(shuffles.shape[0]):
                shuffled = shuffles[number]  # contiguous for the compiler, as items of an iterator are not
                for base, low, high in (
                    (np.int64(codes[start]), start, middle),
                    (np.int64(codes[stop - 1]), middle, stop),
                ):
                    taken[low:high] = _add_rotations_about(shuffled, base, most, start, low, high, stop, out)
        stop += 1
