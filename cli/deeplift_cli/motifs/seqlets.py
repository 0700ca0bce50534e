"""Recursive seqlets: spans whose contributions, and those of all parts of them, are unusually large."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from deeplift_cli.motifs.libraries import library

P_VALUE = 0.01
MIN_LENGTH, MAX_LENGTH = 4, 25  # bp; the library's defaults


@dataclass(frozen=True, eq=False)
class Seqlets:
    """A table of S seqlets.

    Attributes
    ----------
    row : ndarray of int64, [S]
        The sequence of the seqlet: a row of the contributions.
    start, end : ndarray of int64, [S]
        The span within the sequence in bp, 0-based and half-open, flanks included.
    contribution : ndarray of float64, [S]
        The sum of the contributions of the span.
    p_value : ndarray of float64, [S]
        The p-value of the span without flanks. p-values rank seqlets; they are no error rates.
    """

    row: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    contribution: npt.NDArray[np.float64]
    p_value: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean contribution per base [S]."""
        return self.contribution / (self.end - self.start)

    def take(self, places: npt.NDArray[np.int64]) -> Self:
        """Return the seqlets at these places, in this order."""
        return type(self)(*(getattr(self, field.name)[places] for field in fields(self)))


def find_seqlets(
    contributions: npt.NDArray[np.floating[Any]],
    *,
    p_value: float = P_VALUE,
    min_length: int = MIN_LENGTH,
    max_length: int = MAX_LENGTH,
    additional_flanks: int = 0,
    negative: bool = False,
) -> Seqlets:
    """Find recursive seqlets by `tangermeme.seqlet.recursive_seqlets`.

    A span of `min_length` to `max_length` bp is a seqlet if its own p-value and those of all spans of at
    least `min_length` bp within it are below the threshold. The p-value is the probability that as many
    positions, drawn independently from all given contributions, have at least this sum. The p-values
    therefore depend on all sequences that are given, and parts of a data set give other p-values than the
    whole. Seqlets of one sequence do not overlap before flanks are added.

    Parameters
    ----------
    contributions : ndarray of float, [N, L]
        Contributions of the observed bases; 0 where there is no base. A memory map that is given as a plain
        ndarray is read page by page.
    p_value : float, optional
        The threshold, at most 1.
    min_length, max_length : int, optional
        Shortest and longest seqlet in bp, without flanks.
    additional_flanks : int, optional
        Number of bp that are added on both sides afterwards, within the sequence.
    negative : bool, optional
        True to also find seqlets of negative contributions. These are the seqlets of the negated
        contributions, except those that overlap a seqlet of positive contributions, and their contribution is
        negative.

    Returns
    -------
    Seqlets
        Ordered by p-value; those of negative contributions come after the others.

    Raises
    ------
    UserError
        If tangermeme is not installed.
    ValueError
        If a contribution is not finite, or the threshold is above 1.
    """
    recursive_seqlets = library("tangermeme.seqlet").recursive_seqlets
    if not contributions.size:
        return _empty()
    if not np.isfinite(contributions.min()) or not np.isfinite(contributions.max()):
        raise ValueError("a contribution is not a finite number")

    def found(values: npt.NDArray[Any]) -> Seqlets:
        fixed = values.view()
        fixed.flags.writeable = False  # numba compiles the library's functions once more for the other kind
        table = recursive_seqlets(
            fixed,
            threshold=p_value,
            min_seqlet_len=min_length,
            max_seqlet_len=max_length,
            additional_flanks=additional_flanks,
        )
        columns = ("example_idx", "start", "end", "attribution", "p-value")
        return Seqlets(*(table[name].to_numpy() for name in columns))

    positive = found(contributions)
    if not negative:
        return positive
    mirrored = found(-contributions)
    apart = mirrored.take(_apart(mirrored, positive))
    below = replace(apart, contribution=-apart.contribution)
    columns = ([getattr(part, field.name) for part in (positive, below)] for field in fields(Seqlets))
    return Seqlets(*map(np.concatenate, columns))


def _empty() -> Seqlets:
    whole, real = np.empty(0, np.int64), np.empty(0)
    return Seqlets(whole, whole, whole, real, real)


def _apart(seqlets: Seqlets, others: Seqlets) -> npt.NDArray[np.int64]:
    """Return the places of seqlets that overlap none of the others in their own sequence."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for row, start, end in zip(others.row.tolist(), others.start.tolist(), others.end.tolist(), strict=True):
        spans.setdefault(row, []).append((start, end))
    columns = (seqlets.row.tolist(), seqlets.start.tolist(), seqlets.end.tolist())
    return np.array(
        [
            place
            for place, (row, start, end) in enumerate(zip(*columns, strict=True))
            if all(end <= low or high <= start for low, high in spans.get(row, ()))
        ],
        np.int64,
    )
