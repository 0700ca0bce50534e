"""The base classes of all kinds of reference, which make references from sequences."""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from deeplift_references.encoding import blank_missing, check_one_hot


class Reference(ABC):
    """Makes the references of sequences.

    Attributes
    ----------
    n_references : int
        R, the number of references of each sequence.
    shared : bool
        True if all sequences have the same references, `common` (except at positions without a base).
    needs_observation : bool
        True if `observe` must see the whole input before the first reference is made.
    """

    n_references: int
    shared: bool = False
    needs_observation: bool = False

    def observe(self, sequences: npt.ArrayLike) -> None:  # noqa: B027 - most kinds have nothing to observe
        """Collect statistics of one batch of the input; called for all batches before any reference is made.

        Parameters
        ----------
        sequences : int8 [N, 4, L]
            One-hot, ACGT; an all-zero column is a position with no base.
        """

    def observe_counts(self, counts: npt.NDArray[np.int64]) -> bool:
        """Collect statistics of the whole input from its base counts, instead of all calls of `observe`.

        Parameters
        ----------
        counts : int64 [4, L]
            Number of sequences of the input with each base (ACGT) at each position.

        Returns
        -------
        bool
            False, as here, if this kind needs the sequences themselves; the object is unchanged then.
        """
        return False

    @abstractmethod
    def __call__(
        self, sequences: npt.ArrayLike, rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Make the references of some sequences.

        Parameters
        ----------
        sequences : int8 [N, 4, L]
            One-hot, ACGT; an all-zero column is a position with no base.
        rows : int64 [N], optional
            The index of each sequence in the whole input, for kinds that look up references by index.

        Returns
        -------
        float32 [N, R, 4, L]
            The references; a column is all zero if the sequence has no base there.

        Raises
        ------
        ReferenceDataError
            If this kind can make no reference for these sequences.
        """

    def expected(self, sequences: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the expectation of one reference of each sequence over all seeds, or an unbiased estimate.

        The estimate is independent of the references that `__call__` makes. A kind that defines this method
        is registered with ``has_expectation=True``; its references are independent draws.

        Parameters
        ----------
        sequences : int8 [N, 4, L]
            One-hot, ACGT; an all-zero column is a position with no base.

        Returns
        -------
        float32 [N, 4, L]
            A column is all zero if the sequence has no base there.

        Raises
        ------
        TypeError
            If this kind has no known expectation.
        """
        raise TypeError(f"{type(self).__name__} has no known expectation")

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the references of all sequences of ``length`` with a base everywhere: float32 [R, 4, L].

        Raises
        ------
        TypeError
            If sequences have references of their own (`shared` is False).
        ReferenceDataError
            If this kind can make no reference of this length.
        """
        raise TypeError(f"{type(self).__name__} has no references of length {length} common to all sequences")


class SharedReference(Reference):
    """A kind with the same references for all sequences; a subclass defines `n_references` and `common`."""

    shared = True

    @abstractmethod
    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the references of all sequences of ``length`` with a base everywhere: float32 [R, 4, L]."""

    def __call__(
        self,
        sequences: npt.ArrayLike,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Make the references of some sequences: see `Reference.__call__`."""
        array = check_one_hot(sequences)
        return blank_missing(self.common(array.shape[2]), array)
