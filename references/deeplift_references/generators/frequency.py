"""References with the same base frequencies at every position."""

import math

import numpy as np
import numpy.typing as npt

from deeplift_references.base import Reference, SharedReference
from deeplift_references.encoding import check_one_hot, count_bases
from deeplift_references.errors import ReferenceDataError, ReferenceSpecError
from deeplift_references.registry import Settings, register

# Frequencies are often printed with three digits, so that their sum is off by up to 4 * 0.0005.
SUM_TOLERANCE = 0.002


def check_frequencies(frequencies: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Check that four frequencies sum to 1 within the rounding of three digits, and divide by their sum.

    Raises
    ------
    ReferenceSpecError
        If the frequencies are not four numbers from 0 to 1 that sum to 1.
    """
    shown = ",".join(f"{frequency:g}" for frequency in frequencies)
    if len(frequencies) != 4:
        raise ReferenceSpecError(
            f"base frequencies are four numbers (A,C,G,T), not {len(frequencies)}: {shown}"
        )
    if not all(0 <= frequency <= 1 for frequency in frequencies):  # NaN fails this, too
        raise ReferenceSpecError(f"base frequencies (A,C,G,T) lie between 0 and 1: {shown}")
    total = math.fsum(frequencies)
    if abs(total - 1) > SUM_TOLERANCE:
        raise ReferenceSpecError(f"base frequencies (A,C,G,T) must sum to 1, but {shown} sum to {total:g}")
    return np.array(frequencies) / total


class Frequency(SharedReference):
    """One reference with the same base frequencies at every position.

    Parameters
    ----------
    frequencies : tuple of 4 float, optional
        Frequencies in the order ACGT, which sum to 1. With None, the frequencies of the bases in the observed
        sequences are used.
    """

    n_references = 1

    def __init__(self, frequencies: tuple[float, ...] | None = None) -> None:
        self.needs_observation = frequencies is None
        self._given = None if frequencies is None else check_frequencies(frequencies)
        self._counts = np.zeros(4, dtype=np.int64)

    def observe(self, sequences: npt.ArrayLike) -> None:
        """Count the bases of one batch, int8 [N, 4, L], unless the user gave frequencies."""
        if self.needs_observation:
            self._counts += count_bases(check_one_hot(sequences)).sum(axis=1)

    def observe_counts(self, counts: npt.NDArray[np.int64]) -> bool:
        """Add the base counts of the whole input: see `Reference.observe_counts`."""
        if self.needs_observation:
            self._counts += counts.sum(axis=1)
        return True

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """The given or observed frequencies in the order ACGT: float64 [4]."""
        if self._given is not None:
            return self._given
        if not self._counts.any():
            raise ReferenceDataError(
                "base frequencies are to be found in the sequences, but no base has been observed in any; "
                "give the frequencies, or observe the sequences first"
            )
        shares: npt.NDArray[np.float64] = self._counts / self._counts.sum()
        return shares

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the frequencies at each position: float32 [1, 4, length].

        Raises
        ------
        ReferenceDataError
            If no frequencies were given and no base has been observed.
        """
        return np.tile(self.frequencies.astype(np.float32)[None, :, None], (1, 1, length))


@register("frequency", help="base frequencies, given or found in the input, at every position")
def make_frequency(argument: str | None, settings: Settings) -> Reference:  # noqa: ARG001 - takes none
    """Make the reference of base frequencies."""
    return Frequency(settings.frequencies)
