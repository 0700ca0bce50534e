"""References that are shuffles of the sequence itself."""

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from deeplift_references.base import Reference
from deeplift_references.encoding import base_codes, check_one_hot

Kept = Literal["dinucleotide", "mononucleotide"]
# The expected bases of dinucleotide shuffles are the mean of so many shuffles for each reference, and of so
# many shuffles at least; each is averaged over at most so many rotations.
_SHUFFLES_FOR_EACH, _SHUFFLES, _ROTATIONS = 3, 50, 32


class Shuffle(Reference):
    """Shuffles of each maximal run of ACGT; positions without a base do not move.

    The references of a sequence depend only on the seed and the sequence, and not on other sequences, their
    order, batches or threads. With a larger `n_references`, the first references stay the same.

    Parameters
    ----------
    kept : {"dinucleotide", "mononucleotide"}
        The counts that a shuffle keeps; with dinucleotides, the two ends of each run stay, too.
    n_references : int
        R, the number of shuffles of each sequence.
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
        """Shuffle sequences without holding the GIL: see `Reference.__call__`."""
        # numba is imported here, since its import takes longer than that of most of this program.
        from deeplift_references.kernels import shuffle_one_hot

        codes = base_codes(check_one_hot(sequences))
        count, length = codes.shape
        shuffled = np.zeros((count, self.n_references, 4, length), dtype=np.float32)
        shuffle_one_hot(codes, self._states(codes, ""), self.kept == "dinucleotide", shuffled)
        return shuffled

    def expected(self, sequences: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the expected one-hot of a shuffle: see `Reference.expected`.

        Mononucleotide shuffles have the base counts of a run divided by its length at every position, which
        is exact. For dinucleotide shuffles the expectation is estimated without bias from at least 50 other
        shuffles, which are averaged over rotations: see `deeplift_references.expectation`. These come from a
        random stream of their own, so that the estimate is independent of the references.
        """
        from deeplift_references import expectation

        codes = base_codes(check_one_hot(sequences))
        if self.kept == "mononucleotide":
            return expectation.expect_after_mononucleotide_shuffles(codes)
        return expectation.expect_after_dinucleotide_shuffles(
            codes,
            self._states(codes, "expected:"),
            max(_SHUFFLES, _SHUFFLES_FOR_EACH * self.n_references),
            _ROTATIONS,
        )

    def _states(self, codes: npt.NDArray[np.uint8], stream: str) -> npt.NDArray[np.uint64]:
        """Return the initial state of each sequence's random stream of this name: [N, 4], never all zero."""
        prefix = hashlib.blake2b(f"{self.seed}:{stream}".encode(), digest_size=32, person=self.kept.encode())
        states = np.empty((len(codes), 4), dtype=np.uint64)
        for row, sequence in enumerate(codes):
            digest = prefix.copy()
            digest.update(sequence.tobytes())
            states[row] = np.frombuffer(digest.digest(), dtype="<u8")
        return states
