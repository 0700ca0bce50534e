"""One-hot encoding of letters, and reverse complements of one-hot arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BASES = b"ACGT"
_BASE_CODES = np.frombuffer(BASES, dtype=np.uint8)
_NOT_BASES = bytes(code for code in range(256) if code not in BASES)


def one_hot(letters: Sequence[bytes]) -> npt.NDArray[np.int8]:
    """Encode sequences of one length as one-hot arrays.

    Parameters
    ----------
    letters : sequence of bytes, [N] of length L
        Upper-case letters, as in `Record.letters`.

    Returns
    -------
    ndarray of int8, [N, 4, L]
        Channels in the order ACGT; any other letter is an all-zero column.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    length = len(letters[0]) if letters else 0
    if any(len(sequence) != length for sequence in letters):
        raise ValueError("the sequences of one batch must have one length")
    codes = np.frombuffer(b"".join(letters), dtype=np.uint8).reshape(len(letters), 1, length)
    is_base: npt.NDArray[np.bool_] = codes == _BASE_CODES[:, None]
    return is_base.view(np.int8)


def reverse_complement(one_hot: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the reverse complement of [..., 4, L], which in the order ACGT reverses both axes."""
    return one_hot[..., ::-1, ::-1]


def count_bases(letters: bytes) -> int:
    """Return the number of letters that are A, C, G or T."""
    return len(letters.translate(None, _NOT_BASES))
