"""Matches of a motif's matrix in simulated sequences, and which of them were planted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from simulation import BACKGROUND, MOTIFS, Simulated

FREQUENCIES = tuple(weight / sum(BACKGROUND) for weight in BACKGROUND)
TOP = 5  # matches of each motif in each sequence, as in the paper


@dataclass(frozen=True)
class Matches:
    """M matches of one motif, the best of each sequence first.

    Attributes
    ----------
    row, start : int array [M]
        Sequence, and first position in it.
    width : int
        The width of the motif.
    log_odds : float array [M]
        Log-likelihood under the motif's matrix less that under the background (natural logarithm), on the
        better strand.
    planted : bool array [M]
        True if at least half of the match is an instance of this motif that the simulation planted.
    chance : bool array [M]
        True if the match touches no planted instance of any motif.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    width: int
    log_odds: NDArray[np.float64]
    planted: NDArray[np.bool_]
    chance: NDArray[np.bool_]

    def importance(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums [..., M] of scores [..., N, L] over the matches."""
        running = np.concatenate([np.zeros_like(scores[..., :1]), scores.cumsum(axis=-1)], axis=-1)
        sums: NDArray[np.float64] = (
            running[..., self.row, self.start + self.width] - running[..., self.row, self.start]
        )
        return sums


def log_odds(bases: NDArray[np.int8], motif: str) -> NDArray[np.float64]:
    """Log-odds of every window, on the better strand.

    Parameters
    ----------
    bases : int array [N, L]
        Indices into ACGT.
    motif : str
        Key of `simulation.MOTIFS`. Each position gets one pseudocount, distributed as the background is.

    Returns
    -------
    float array [N, L - W + 1]
    """
    background = np.array(FREQUENCIES)
    counts = MOTIFS[motif] + background
    table = np.log(counts / counts.sum(axis=1, keepdims=True) / background)
    windows = np.lib.stride_tricks.sliding_window_view(bases, len(table), axis=1)
    places = np.arange(len(table))
    # The reverse complement of the matrix: A and T, C and G are each other's mirror image.
    best: NDArray[np.float64] = np.maximum(
        table[places, windows].sum(axis=-1),
        table[::-1, ::-1][places, windows].sum(axis=-1),
    )
    return best


def top_matches(sequences: Sequence[Simulated], motif: str) -> Matches:
    """Find the five best matches of each sequence that do not overlap each other."""
    found = log_odds(np.stack([sequence.bases for sequence in sequences]), motif)
    width = len(MOTIFS[motif])
    rows, starts, planted, chance = [], [], [], []
    for row, (sequence, odds) in enumerate(zip(sequences, found.copy(), strict=True)):
        for _ in range(TOP):
            start = int(odds.argmax())
            odds[max(0, start - width + 1) : start + width] = -np.inf
            # Positions that the match shares with each planted instance; negative if they lie apart.
            shared = [
                (instance.motif, min(instance.end, start + width) - max(instance.start, start))
                for instance in sequence.planted
            ]
            rows.append(row)
            starts.append(start)
            planted.append(any(name == motif and 2 * overlap >= width for name, overlap in shared))
            chance.append(all(overlap <= 0 for _, overlap in shared))
    row_array, start_array = np.array(rows), np.array(starts)
    return Matches(
        row_array,
        start_array,
        width,
        found[row_array, start_array],
        np.array(planted),
        np.array(chance),
    )
