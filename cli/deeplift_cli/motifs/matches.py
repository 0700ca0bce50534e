"""The known motif that each seqlet resembles most, by Tomtom."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deeplift_cli.motifs.libraries import library
from deeplift_cli.motifs.seqlets import Seqlets

_SEQLETS_AT_ONCE = 20_000  # that Tomtom gets in one call, so that one-hot sequences take little memory
_ENOUGH = 25  # motifs; below, memelite warns that p-values depend on which motifs are given


@dataclass(frozen=True, eq=False)
class Matches:
    """The best match of each of S seqlets.

    Attributes
    ----------
    motif : ndarray of int64, [S]
        The place of the motif among those that were given.
    strand : ndarray of str, [S]
        "+" if the motif matches as it is given, "-" if its reverse complement does.
    p_value : ndarray of float64, [S]
        Tomtom's p-value of the match with this motif.
    q_value : ndarray of float64, [S]
        The smallest false discovery rate (Benjamini and Hochberg) among seqlets at which the match counts.
    """

    motif: npt.NDArray[np.int64]
    strand: npt.NDArray[np.str_]
    p_value: npt.NDArray[np.float64]
    q_value: npt.NDArray[np.float64]


def best_matches(
    bases: npt.NDArray[np.int8],
    seqlets: Seqlets,
    motifs: Mapping[str, npt.NDArray[np.float64]],
    note: Callable[[str], None] = lambda _: None,
) -> Matches:
    """Compare the letters of each seqlet with all motifs by `memelite.tomtom`, and return the best match.

    The queries are one-hot sequences, as in tangermeme's `annotate_seqlets`. The p-value of the best of M
    motifs would be too small as the p-value of a seqlet, so that q-values are made from 1 - (1 - p)^M, the
    probability that the best of M independent motifs is at least as good.

    Parameters
    ----------
    bases : ndarray of int8, [N, L]
        Sequences, 0 to 3 for A, C, G and T, and any other number where there is no base.
    seqlets : Seqlets
    motifs : mapping of str to ndarray of float64, [4, W]
    note : callable, optional
        Called with a line that the user should read.

    Returns
    -------
    Matches

    Raises
    ------
    UserError
        If memelite or scipy is not installed.
    """
    tomtom = library("memelite").tomtom
    if len(motifs) < _ENOUGH:
        note(
            f"there are {len(motifs)} motifs, and Tomtom compares each with the columns of all of them: its "
            f"p-values are reliable with {_ENOUGH} motifs or more, such as a whole database"
        )
    targets = list(motifs.values())
    motif, strand = np.empty(len(seqlets), np.int64), np.empty(len(seqlets), "U1")
    p_value = np.empty(len(seqlets))
    for part, queries in _queries(bases, seqlets):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "tomtom was given")  # `note` says so
            found = tomtom(queries, targets, n_nearest=1)
        p_value[part] = found[0][:, 0]
        strand[part] = np.where(found[4][:, 0] > 0, "-", "+")
        motif[part] = found[5][:, 0].astype(np.int64)
    control = library("scipy.stats").false_discovery_control
    return Matches(motif, strand, p_value, control(best_of(p_value, len(motifs)), method="bh"))


def _queries(
    bases: npt.NDArray[np.int8], seqlets: Seqlets
) -> Iterator[tuple[slice, list[npt.NDArray[np.float64]]]]:
    """Yield one-hot sequences [4, w] of some seqlets at a time, with the places of these seqlets."""
    letters = np.arange(4, dtype=np.int8)[:, None]
    for first in range(0, len(seqlets), _SEQLETS_AT_ONCE):
        part = slice(first, min(first + _SEQLETS_AT_ONCE, len(seqlets)))
        spans = zip(
            *(column[part].tolist() for column in (seqlets.row, seqlets.start, seqlets.end)), strict=True
        )
        yield part, [(bases[row, start:end] == letters).astype(np.float64) for row, start, end in spans]


def best_of(p_values: npt.NDArray[np.float64], n_motifs: int) -> npt.NDArray[np.float64]:
    """Return the p-value of the best of so many independent matches, 1 - (1 - p)^M, without cancellation."""
    with np.errstate(divide="ignore"):
        survival = n_motifs * np.log1p(-np.minimum(p_values, 1.0))
    return np.asarray(-np.expm1(survival), np.float64)
