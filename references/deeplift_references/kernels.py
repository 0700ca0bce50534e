"""The compiled code of shuffles; import it inside functions, as numba takes half a second to load.

A shuffle that keeps dinucleotides is a walk over the bases that uses every step (pair of neighbours) of the
sequence once. To draw one uniformly (Altschul & Erickson 1985; Kandel, Matias, Unger & Winkler 1996):

1. draw, for every base but the last of the sequence, the step by which the walk leaves it for the last
   time. These steps must form a tree that leads to the last base; it is drawn uniformly among all such
   trees of the multigraph of steps by Wilson's loop-erased random walk (Propp & Wilson 1998);
2. put the other steps out of each base in uniformly random order;
3. walk along the steps in this order.

Every sequence with these dinucleotides belongs to the same number of (tree, orders) pairs, the product of
the factorials of the 16 counts, so all are equally likely. The code does 2 and 3 together: at each position
it draws the next base without replacement from the steps that are left.

The expected base at each position is estimated from such shuffles, each averaged over many rotations. Cut a
shuffle at all visits of one base: the pieces between the first visit and the last are closed walks that may
follow each other in any order. To move the first j of these pieces behind the others is therefore a bijection
on all sequences with the same dinucleotides and ends (the number of visits is one of the things that these
have in common), so that the rotated shuffle is again a uniform draw, and the mean over any fixed rotations
has the same expectation as the shuffle itself. A rotation costs a hundredth of a new shuffle. Where the base
is the first of the sequence, its first visit is at the beginning, so that rotations reach all positions but
those behind its last visit; where it is the last of the sequence, all but those before its first visit.
Hence the first base serves the first half of the positions, and the last base the second half.

Only the entry point is cached on disk. Its helpers are compiled into the entry point, and must stay in this
file, since numba's cache is invalidated only by changes of this file.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

Function = TypeVar("Function", bound=Callable[..., Any])
Counts = npt.NDArray[np.int64]
State = npt.NDArray[np.uint64]
Integer = int | np.int64  # all are signed: numba makes a float of int64 with uint64


def _helper(function: Function) -> Function:
    compiled: Function = numba.njit(nogil=True)(function)
    return compiled


def _entry_point(signature: str) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function at import, or loads it from numba's cache folder."""

    def compile_now(function: Function) -> Function:
        compiled: Function
        try:
            compiled = numba.njit(signature, nogil=True, cache=True)(function)
        except (RuntimeError, OSError):
            # There is no writable cache folder (read-only install and home), or its disc is full.
            compiled = numba.njit(signature, nogil=True)(function)
        return compiled

    return compile_now


@_helper
def _random(state: State) -> Any:
    """Return the next 64 bits, a uint64, of xoshiro256++ (Blackman & Vigna 2021); ``state`` is uint64 [4]."""
    total = state[0] + state[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
    return result


@_helper
def _below(bound: Integer, state: State) -> np.int64:
    """Return a uniform integer in [0, bound), 0 < bound < 2^32, without bias (Lemire 2019)."""
    half = np.uint64(32)
    low = np.uint64(0xFFFFFFFF)
    wide = np.uint64(bound)
    product = (_random(state) >> half) * wide
    if (product & low) < wide:
        rejected = (np.uint64(1) << half) % wide
        while (product & low) < rejected:
            product = (_random(state) >> half) * wide
    return np.int64(product >> half)


@_helper
def _draw(counts: Counts, total: Integer, state: State) -> np.int64:
    """Draw a base in proportion to the four counts, whose sum is ``total``."""
    ticket = _below(total, state)
    # Comparisons are summed instead of a loop, whose branches the processor could not predict.
    ac = counts[0] + counts[1]
    return np.int64(ticket >= counts[0]) + np.int64(ticket >= ac) + np.int64(ticket >= ac + counts[2])


@_helper
def _draw_last_steps(steps: Counts, root: Integer, state: State) -> npt.NDArray[np.int64]:
    """Draw, for every base that occurs except the root, the base to which its last step leads.

    The draw is uniform among the trees of ``steps`` [from, to] that lead to the root; equal steps count as
    different.
    """
    towards = np.zeros(4, dtype=np.int64)
    in_tree = np.zeros(4, dtype=np.bool_)
    in_tree[root] = True
    moves = steps.copy()
    exits = np.zeros(4, dtype=np.int64)
    for base in range(4):
        moves[base, base] = 0  # a step to the same base is never in a tree, and would only slow the walk
        for following in range(4):
            exits[base] += moves[base, following]
    for start in range(4):
        if exits[start] == 0:
            continue
        base = start
        while not in_tree[base]:
            towards[base] = _draw(moves[base], exits[base], state)
            base = towards[base]
        base = start
        while not in_tree[base]:
            in_tree[base] = True
            base = towards[base]
    return towards


@_helper
def _shuffle_dinucleotides(codes: npt.NDArray[np.uint8], state: State, out: npt.NDArray[np.float32]) -> None:
    """Write one shuffle of a run of bases [L], L > 0, into one-hot zeros [4, L]."""
    steps = np.zeros((4, 4), dtype=np.int64)
    left = np.zeros(4, dtype=np.int64)  # steps out of each base, without its last step
    for position in range(codes.size - 1):
        steps[codes[position], codes[position + 1]] += 1
        left[codes[position]] += 1
    root = codes[-1]
    last_step = _draw_last_steps(steps, root, state)
    for origin in range(4):
        if origin != root and left[origin] > 0:
            steps[origin, last_step[origin]] -= 1
            left[origin] -= 1
    base = np.int64(codes[0])
    out[base, 0] = 1
    for position in range(1, codes.size):
        if left[base] > 0:
            chosen = _draw(steps[base], left[base], state)
            steps[base, chosen] -= 1
            left[base] -= 1
            base = chosen
        else:
            base = last_step[base]
        out[base, position] = 1


@_helper
def _shuffle_mononucleotides(
    codes: npt.NDArray[np.uint8], state: State, out: npt.NDArray[np.float32]
) -> None:
    """Write one permutation of a run of bases [L] into one-hot zeros [4, L]."""
    left = np.zeros(4, dtype=np.int64)
    for base in codes:
        left[base] += 1
    for position in range(codes.size):
        chosen = _draw(left, codes.size - position, state)
        left[chosen] -= 1
        out[chosen, position] = 1


@_helper
def _add(values: npt.NDArray[np.float32], out: npt.NDArray[np.float32]) -> None:
    """Add values to an array of the same length, in a loop that the compiler vectorises."""
    for place in range(out.size):
        out[place] += values[place]


@_helper
def _add_rotations(
    shuffled: npt.NDArray[np.float32],
    base: Integer,
    most: Integer,
    start: Integer,
    stop: Integer,
    out: npt.NDArray[np.float32],
) -> np.int64:
    """Add rotations of a one-hot shuffle [4, L] to the positions from ``start`` to ``stop`` of ``out``.

    The rotations are those about the visits of a base that occurs in the shuffle; at most ``most`` of these
    are taken, evenly spread, and their number is returned.
    """
    length = shuffled.shape[1]
    visits = np.empty(length, dtype=np.int64)
    count = 0
    for position in range(length):
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
    return np.int64(taken)


@_helper
def _expect_after_dinucleotide_shuffles(
    codes: npt.NDArray[np.uint8],
    state: State,
    shuffles: Integer,
    rotations: Integer,
    out: npt.NDArray[np.float32],
) -> None:
    """Write the mean of shuffles of a run of bases [L], L > 0, into zeros [4, L]."""
    length = codes.size
    middle = length // 2
    shuffled = np.empty((4, length), dtype=np.float32)
    total = np.zeros((4, length), dtype=np.float32)  # contiguous, unlike `out`, so that sums are vectorised
    before = np.int64(0)
    behind = np.int64(0)
    for _ in range(shuffles):
        shuffled[:] = 0
        _shuffle_dinucleotides(codes, state, shuffled)
        before += _add_rotations(shuffled, np.int64(codes[0]), rotations, 0, middle, total)
        behind += _add_rotations(shuffled, np.int64(codes[-1]), rotations, middle, length, total)
    for channel in range(4):
        for position in range(length):
            out[channel, position] = total[channel, position] / (before if position < middle else behind)


@_helper
def _expect_after_mononucleotide_shuffles(codes: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]) -> None:
    """Write the share of each base in a run of bases [L], L > 0, to every position of [4, L]."""
    counts = np.zeros(4, dtype=np.int64)
    for base in codes:
        counts[base] += 1
    for channel in range(4):
        out[channel, :] = counts[channel] / codes.size


@_entry_point("void(uint8[:, ::1], uint64[:, ::1], boolean, float32[:, :, :, ::1])")
def shuffle_one_hot(
    codes: npt.NDArray[np.uint8], states: State, dinucleotides: bool, out: npt.NDArray[np.float32]
) -> None:
    """Write shuffles of each maximal run of bases.

    Parameters
    ----------
    codes : uint8 [N, L]
        0 1 2 3 for ACGT, 4 for no base.
    states : uint64 [N, 4]
        The initial state of each sequence's random stream, not all zero; the call changes the states. The R
        shuffles of a sequence come one after the other from its stream.
    dinucleotides : bool
        True to keep dinucleotides and ends, false to keep only bases.
    out : float32 [N, R, 4, L]
        Zeros, which the call fills with one-hot shuffles.
    """
    length = codes.shape[1]
    for row in range(codes.shape[0]):
        for reference in range(out.shape[1]):
            stop = 0
            while stop < length:
                start = stop
                while stop < length and codes[row, stop] < 4:
                    stop += 1
                run = codes[row, start:stop]
                run_out = out[row, reference, :, start:stop]
                if dinucleotides and run.size > 0:
                    _shuffle_dinucleotides(run, states[row], run_out)
                else:
                    _shuffle_mononucleotides(run, states[row], run_out)
                stop += 1


@_entry_point("void(uint8[:, ::1], uint64[:, ::1], boolean, int64, int64, float32[:, :, ::1])")
def expect_one_hot(
    codes: npt.NDArray[np.uint8],
    states: State,
    dinucleotides: bool,
    shuffles: int,
    rotations: int,
    out: npt.NDArray[np.float32],
) -> None:
    """Write the expectation of `shuffle_one_hot` for each sequence, without bias.

    Parameters
    ----------
    codes : uint8 [N, L]
        0 1 2 3 for ACGT, 4 for no base.
    states : uint64 [N, 4]
        As for `shuffle_one_hot`; used for dinucleotides only.
    dinucleotides : bool
        True for shuffles that keep dinucleotides and ends, whose expectation is estimated; false for those
        that keep only bases, whose expectation is exact.
    shuffles : int
        Number of shuffles that are drawn for the estimate.
    rotations : int
        The largest number of rotations of each.
    out : float32 [N, 4, L]
        Zeros, which the call fills; they stay zeros where there is no base.
    """
    length = codes.shape[1]
    for row in range(codes.shape[0]):
        stop = 0
        while stop < length:
            start = stop
            while stop < length and codes[row, stop] < 4:
                stop += 1
            run = codes[row, start:stop]
            if run.size > 0:
                if dinucleotides:
                    _expect_after_dinucleotide_shuffles(
                        run, states[row], shuffles, rotations, out[row, :, start:stop]
                    )
                else:
                    _expect_after_mononucleotide_shuffles(run, out[row, :, start:stop])
            stop += 1
