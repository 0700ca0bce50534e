"""Motifs that a variant makes or breaks: the best match that overlaps the variant, in REF and in ALT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from deeplift_cli.motifs.motif_files import read_motifs
from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.variants.vcf import Variant
from deeplift_cli.variants.windows import Side, Window

# A match is a score that a random sequence of equal base frequencies reaches at a place with this
# probability, as FIMO's default has it.
MATCH_P = 1e-4
_BASES = "ACGT"
# Frequencies count as those of so many sites, as MEME's own programs take them where a file does not say, and
# to the counts of each base are added: FIMO adds 0.1 to those of all four.
_SITES = 20
_PSEUDOCOUNT = 0.025
_STEP = 0.005  # bits
_NONE = "."
_CHANGES = np.array([_NONE, "made", "broken"])


@dataclass(frozen=True)
class Motif:
    """A motif as log-odds against equal base frequencies.

    Attributes
    ----------
    name : str
    log_odds : float64 array [4, W]
        In bits.
    threshold : float
        The score from which on a place is a match.
    """

    name: str
    log_odds: npt.NDArray[np.float64]
    threshold: float

    @property
    def width(self) -> int:
        """W in bp."""
        return len(self.log_odds[0])


class MotifChanges:
    """Compares the matches of motifs in both alleles.

    Parameters
    ----------
    motifs : sequence of Motif
    """

    def __init__(self, motifs: Sequence[Motif]) -> None:
        self._motifs = motifs
        self._reach = max(motif.width for motif in motifs) - 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the motifs of a file in the formats MEME or JASPAR.

        Raises
        ------
        UserError
            As `read_motifs`.
        """
        return cls([_motif(name, values) for name, values in read_motifs(path).items()])

    def columns(
        self,
        variants: Sequence[Variant],
        refs: npt.NDArray[np.int8],
        alts: npt.NDArray[np.int8],
        side: Side,
    ) -> dict[str, list[str] | npt.NDArray[np.float64]]:
        """Find the motif of each variant whose match changes most.

        Parameters
        ----------
        variants : sequence of Variant, [N]
        refs, alts : int8 array [N, 4, L]
            The windows of both alleles.
        side : {"right", "left"}
            The end at which ALT's window was cut or filled.

        Returns
        -------
        dict of str to list of str or float64 array, [N]
            The motif's name, "made" or "broken", and its best score in each allele [bits]; "." and NaN where
            no motif is made or broken.
        """
        length = refs.shape[2]
        windows = [
            Window(length, variant.pos - 1, variant.ref.encode(), variant.alt.encode(), side)
            for variant in variants
        ]
        ref = self._scores(refs, [(window.at, len(window.ref)) for window in windows])
        alt = self._scores(alts, [(window.at_in_alt, len(window.alt)) for window in windows])
        thresholds = np.array([motif.threshold for motif in self._motifs])[:, None]
        made, broken = (alt >= thresholds) & (ref < thresholds), (ref >= thresholds) & (alt < thresholds)
        change = np.where(made | broken, np.abs(alt - ref), -1)  # [M, N]
        best = change.argmax(0)
        rows = np.arange(len(variants))
        kinds = _CHANGES[made[best, rows] + 2 * broken[best, rows]]
        names = [self._motifs[place].name for place in best]
        return {
            "motif": [name if kind != _NONE else _NONE for name, kind in zip(names, kinds, strict=True)],
            "motif_change": kinds.tolist(),
            "motif_ref_score": np.where(kinds == _NONE, np.nan, ref[best, rows]),
            "motif_alt_score": np.where(kinds == _NONE, np.nan, alt[best, rows]),
        }

    def _scores(
        self, sequences: npt.NDArray[np.int8], alleles: Sequence[tuple[int, int]]
    ) -> npt.NDArray[np.float64]:
        """Return the best score [M, N] of each motif on either strand that overlaps the allele.

        Parameters
        ----------
        sequences : int8 array [N, 4, L]
        alleles : sequence of (int, int)
            The index and the number of the allele's bases in each window.
        """
        reach = self._reach
        longest = max(size for _, size in alleles)
        around = np.zeros((len(sequences), 4, longest + 2 * reach))
        sizes = np.array([size for _, size in alleles])
        for row, (at, _) in enumerate(alleles):
            first = max(at - reach, 0)
            letters = sequences[row, :, first : at + longest + reach]
            begin = first - (at - reach)
            around[row, :, begin : begin + letters.shape[1]] = letters
        has_base = np.any(around, axis=1, keepdims=True)
        found = np.empty((len(self._motifs), len(sequences)))
        for place, motif in enumerate(self._motifs):
            width = motif.width
            starts = np.arange(reach - width + 1, reach + longest)
            some = slice(int(starts[0]), int(starts[-1]) + width)
            views = sliding_window_view(around[:, :, some], width, axis=2)  # [N, 4, starts, W]
            whole = sliding_window_view(has_base[:, 0, some], width, axis=1).all(-1)
            counts = whole & (starts < reach + sizes[:, None])
            both = [
                np.einsum("nbpw,bw->np", views, strand, optimize=True)
                for strand in (motif.log_odds, motif.log_odds[::-1, ::-1])
            ]
            found[place] = np.where(counts, np.maximum(*both), -np.inf).max(1)
        return found


def _motif(name: str, frequencies: npt.NDArray[np.float64]) -> Motif:
    """Return a motif of frequencies [4, W] as log-odds."""
    smoothed = (frequencies * _SITES + _PSEUDOCOUNT) / (_SITES + len(_BASES) * _PSEUDOCOUNT)
    log_odds = np.log2(smoothed * len(_BASES))
    return Motif(one_column(name), log_odds, match_threshold(log_odds))


def match_threshold(log_odds: npt.NDArray[np.float64]) -> float:
    """Return the least score that random words of equal base frequencies reach no more often than `MATCH_P`.

    The distribution of scores is computed position by position, with scores in whole steps of `_STEP` bits
    (Staden 1989, Methods for calculating the probabilities of finding patterns in sequences; FIMO does so,
    too). If even the best word is more frequent, only the best word is a match.
    """
    lowest = log_odds.min(0)
    steps = np.rint((log_odds - lowest) / _STEP).astype(np.int64)
    frequencies = np.ones(1)
    for column in steps.T:
        longer = np.zeros(len(frequencies) + column.max())
        for step in column:
            longer[step : step + len(frequencies)] += 0.25 * frequencies
        frequencies = longer
    at_least = np.cumsum(frequencies[::-1])[::-1]
    rare = np.flatnonzero((at_least <= MATCH_P) & (frequencies > 0))
    least = float(lowest.sum()) + float(rare[0]) * _STEP if len(rare) else float(log_odds.max(0).sum())
    # Scores are sums of rounded steps, which may be this much too high.
    return least - len(log_odds[0]) * _STEP / 2
