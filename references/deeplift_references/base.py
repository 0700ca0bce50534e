"""What a reference is to the rest of the program: something that turns sequences into references."""

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
        True where one set, `common`, serves every sequence (except where a sequence has no base).
    needs_observation : bool
        True where `observe` has to see the whole input before the first reference is made.
    """

    n_references: int
    shared: bool = False
    needs_observation: bool = False

    def observe(self, sequences: npt.ArrayLike) -> None:  # noqa: B027 - most kinds have nothing to observe
        """Take account of one batch of the input; called for every batch before any reference is made.

        Parameters
        ----------
        sequences : int8 [N, 4, L]
            One-hot, ACGT; an all-zero column is a position with no base.
        """

    def observe_counts(self, counts: npt.NDArray[np.int64]) -> bool:
        """Take account of the whole input at once, in place of every call of `observe`, by its bases alone.

        Parameters
        ----------
        counts : int64 [4, L]
            How many sequences of the input have each base (ACGT) at each position.

        Returns
        -------
        bool
            False, as here, where this kind needs the sequences themselves; nothing has changed then.
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
            The index of each sequence in the whole input; only kinds that look references up need it.

        Returns
        -------
        float32 [N, R, 4, L]
            All zero in each column where the sequence has no base.

        Raises
        ------
        ReferenceDataError
            If this kind can make no reference for these sequences.
        """

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """The set that serves every sequence of ``length`` that has a base everywhere: float32 [R, 4, L].

        Raises
        ------
        TypeError
            If there is no such set (`shared` is False).
        ReferenceDataError
            If this kind can make no reference of this length.
        """
        raise TypeError(f"{type(self).__name__} has no references of length {length} common to all sequences")


class SharedReference(Reference):
    """A kind with one set for all sequences: a subclass defines `n_references` and `common`."""

    shared = True

    @abstractmethod
    def common(self, length: int) -> npt.NDArray[np.float32]:
        """The set that serves every sequence of ``length`` that has a base everywhere: float32 [R, 4, L]."""

    def __call__(
        self,
        sequences: npt.ArrayLike,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Make the references of some sequences: see `Reference.__call__`."""
        array = check_one_hot(sequences)
        return blank_missing(self.common(array.shape[2]), array)
