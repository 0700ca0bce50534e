"""References that are shuffles of the sequence itself."""

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from deeplift_references.base import Reference
from deeplift_references.encoding import base_codes, check_one_hot

Kept = Literal["dinucleotide", "mononucleotide"]


class Shuffle(Reference):
    """Shuffles of each maximal run of ACGT; positions with no base stay where they are.

    The references of a sequence depend on the seed and the sequence alone: not on other sequences, on
    order, batches or threads. Asking for more references leaves the first ones as they were.

    Parameters
    ----------
    kept : {"dinucleotide", "mononucleotide"}
        Whose counts a shuffle keeps; with dinucleotides, the two ends of each run stay, too.
    n_references : int
        R, the shuffles of each sequence.
    seed : int
        Any integer.
    """

    def __init__(self, kept: Kept, n_references: int, seed: int) -> None:
        self.kept: Kept = kept
        self.n_references = n_references
        self.seed = seed

    def __call__(
        self,
        sequences: npt.ArrayLike,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Shuffle sequences: see `Reference.__call__`. Runs without the GIL."""
        # numba takes longer to import than most of this program: only where a shuffle is made.
        from deeplift_references.kernels import shuffle_one_hot

        codes = base_codes(check_one_hot(sequences))
        count, length = codes.shape
        shuffled = np.zeros((count, self.n_references, 4, length), dtype=np.float32)
        shuffle_one_hot(codes, self._states(codes), self.kept == "dinucleotide", shuffled)
        return shuffled

    def _states(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """The state that each sequence's random stream starts from: uint64 [N, 4], never all zero."""
        prefix = hashlib.blake2b(f"{self.seed}:".encode(), digest_size=32, person=self.kept.encode())
        states = np.empty((len(codes), 4), dtype=np.uint64)
        for row, sequence in enumerate(codes):
            digest = prefix.copy()
            digest.update(sequence.tobytes())
            states[row] = np.frombuffer(digest.digest(), dtype="<u8")
        return states
