"""A sequence with its contributions, placed on the x axis of a picture, whatever file it comes from."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Row:
    """One sequence of a picture.

    Attributes
    ----------
    label : str
        The text above the row; "" for none.
    places : ndarray of int, [L]
        The left edge of each base on the x axis, ascending. There is a gap where the allele above or below
        has bases that this one lacks.
    sequence : ndarray of int8, [4, L]
        The one-hot sequence in the order ACGT; all zero at an N.
    contributions : ndarray, [L]
        The contributions of the observed bases.
    hypothetical : ndarray, [4, L]
        The hypothetical contributions.
    standard_error : ndarray, [L], or None
        The standard error of each contribution, if it is known.
    marked : tuple of int, or None
        The ends of a stretch of the x axis that is marked, such as a variant.
    """

    label: str
    places: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int8]
    contributions: npt.NDArray[Any]
    hypothetical: npt.NDArray[Any]
    standard_error: npt.NDArray[Any] | None = None
    marked: tuple[int, int] | None = None

    def within(self, first: int, last: int) -> Self:
        """Return the bases whose places are from `first` to `last` - 1."""
        inside = (self.places >= first) & (self.places < last)
        errors = self.standard_error
        return replace(
            self,
            places=self.places[inside],
            sequence=self.sequence[:, inside],
            contributions=self.contributions[inside],
            hypothetical=self.hypothetical[:, inside],
            standard_error=None if errors is None else errors[inside],
        )
