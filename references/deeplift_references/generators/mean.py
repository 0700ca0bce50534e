"""The reference that is the mean of the input sequences at each position."""

import numpy as np
import numpy.typing as npt

from deeplift_references.base import Reference, SharedReference
from deeplift_references.encoding import check_one_hot, count_bases
from deeplift_references.errors import ReferenceDataError
from deeplift_references.registry import Settings, register


class Mean(SharedReference):
    """One reference: the position-wise mean of the observed sequences.

    At each position the mean is over the sequences that have a base there, so that its four numbers sum to 1
    even if some sequences have an N there. At positions where no observed sequence has a base, the numbers
    are 0; a sequence that was not observed but has a base at such a position is refused.
    """

    n_references = 1
    needs_observation = True

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.int64] | None = None

    def observe(self, sequences: npt.ArrayLike) -> None:
        """Add one batch, int8 [N, 4, L], to the mean.

        Raises
        ------
        ReferenceDataError
            If the length differs from that of the sequences observed before.
        """
        self._add(count_bases(check_one_hot(sequences)))

    def observe_counts(self, counts: npt.NDArray[np.int64]) -> bool:
        """Add the whole input to the mean: see `Reference.observe_counts`.

        Raises
        ------
        ReferenceDataError
            If the length differs from that of the sequences observed before.
        """
        self._add(counts)
        return True

    def _add(self, counts: npt.NDArray[np.int64]) -> None:
        if self._counts is None:
            self._counts = counts.copy()
        else:
            self._check_length(counts.shape[1])
            self._counts += counts

    def _check_length(self, length: int) -> None:
        if self._counts is None:
            raise ReferenceDataError("the mean is of the sequences observed, but none has been observed")
        if length != self._counts.shape[1]:
            raise ReferenceDataError(
                "the mean needs sequences of one length, but there are some of "
                f"{self._counts.shape[1]} and of {length} bases"
            )

    def __call__(
        self, sequences: npt.ArrayLike, rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Make the references [N, 1, 4, L] of some sequences: see `Reference.__call__`."""
        references = super().__call__(sequences, rows)
        unknown = (np.asarray(sequences) != 0) & (references.sum(axis=2) == 0)
        if unknown.any():
            position = int(np.argwhere(unknown)[0, 2])
            raise ReferenceDataError(f"no observed sequence has a base at position {position} (from 0)")
        return references

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the mean: float32 [1, 4, length], 0 where no observed sequence has a base.

        Raises
        ------
        ReferenceDataError
            If no sequences have been observed, or only sequences of another length.
        """
        self._check_length(length)
        assert self._counts is not None
        mean = self._counts / np.maximum(self._counts.sum(axis=0), 1)
        return np.asarray(mean[None], dtype=np.float32)


@register("mean", help="the mean of the input sequences at each position")
def make_mean(argument: str | None, settings: Settings) -> Reference:  # noqa: ARG001 - nothing to set
    """Make the reference that is the mean of the input."""
    return Mean()
