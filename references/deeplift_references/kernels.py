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


def helper(function: Function) -> Function:
    compiled: Function = numba.njit(nogil=True)(function)
    return compiled


def entry_point(signature: str) -> Callable[[Function], Function]:
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


@helper
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


@helper
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


@helper
def _draw(counts: Counts, total: Integer, state: State) -> np.int64:
    """Draw a base in proportion to the four counts, whose sum is ``total``."""
    ticket = _below(total, state)
    # Comparisons are summed instead of a loop, whose branches the processor could not predict.
    ac = counts[0] + counts[1]
    return np.int64(ticket >= counts[0]) + np.int64(ticket >= ac) + np.int64(ticket >= ac + counts[2])


@helper
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


@helper
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


@helper
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


@entry_point("void(uint8[:, ::1], uint64[:, ::1], boolean, float32[:, :, :, ::1])")
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
