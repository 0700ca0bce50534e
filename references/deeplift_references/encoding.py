"""Checks of one-hot sequences, and their positions without a base."""

from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_references.errors import ReferenceDataError

NO_BASE = 4


def check_one_hot(sequences: npt.ArrayLike) -> npt.NDArray[Any]:
    """Check that ``sequences`` are one-hot, and return them as an array.

    Parameters
    ----------
    sequences : array [N, 4, L]
        Sequences of any numeric type; each column is one-hot in the order ACGT, or all zero without a base.

    Raises
    ------
    ReferenceDataError
        If the shape is wrong, or a column is neither one-hot nor all zero.
    """
    array = np.asarray(sequences)
    if array.ndim != 3 or array.shape[1] != 4:
        raise ReferenceDataError(f"one-hot sequences have the shape [N, 4, L], not {list(array.shape)}")
    binary = array == 1
    faulty = ((array != 0) != binary).any(axis=1) | (binary.sum(axis=1) > 1)
    if faulty.any():
        row, position = (int(index) for index in np.argwhere(faulty)[0])
        raise ReferenceDataError(
            f"sequence {row}, position {position} (both from 0): column {array[row, :, position].tolist()} "
            "is neither one-hot nor all zero"
        )
    return array


def has_base(sequences: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether sequences [N, 4, L] have a base at each position: bool [N, L]."""
    present: npt.NDArray[np.bool_] = np.any(sequences, axis=1)
    return present


def base_codes(sequences: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return sequences [N, 4, L] as codes 0 1 2 3 for ACGT, and `NO_BASE` elsewhere: uint8 [N, L]."""
    codes = np.full((sequences.shape[0], sequences.shape[2]), NO_BASE, dtype=np.uint8)
    for base in range(4):
        codes[sequences[:, base] != 0] = base
    return codes


def count_bases(sequences: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count the sequences [N, 4, L] with each base at each position: int64 [4, L]."""
    counts: npt.NDArray[np.int64] = np.count_nonzero(sequences, axis=0).astype(np.int64)
    return counts


def blank_missing(references: npt.NDArray[Any], sequences: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Set columns of references to zero where their sequence has no base.

    Parameters
    ----------
    references : array [R, 4, L] for all sequences, or [N, R, 4, L]
    sequences : array [N, 4, L]

    Returns
    -------
    float32 [N, R, 4, L]
    """
    blanked: npt.NDArray[np.float32] = np.multiply(
        references, has_base(sequences)[:, None, None, :], dtype=np.float32
    )
    return blanked
