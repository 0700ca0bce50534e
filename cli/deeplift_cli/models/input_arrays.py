"""Values of further inputs in NumPy files: one for all records, or one row for each record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.models.foreign import errors_in_one_line

_CHECKED_BYTES = 64 << 20  # so many values are read at a time


def open_array(path: Path, name: str) -> npt.NDArray[Any]:
    """Open a file of numbers without reading it into memory, and check that all its numbers are finite.

    Parameters
    ----------
    path : Path
    name : str
        The input that the values are for.

    Raises
    ------
    UserError
        If the file is missing, no .npy file, or holds something else than finite numbers.
    """
    where = f"--input {name}: {path}"
    if not path.exists():
        raise UserError(f"{where} does not exist; a value is zeros, a number or FILE.npy")
    if not path.is_file():  # to read a named pipe could take for ever
        raise UserError(f"{where} is no regular file; save the values by numpy.save")
    with errors_in_one_line(f"{where} is not a NumPy file of numbers, as numpy.save writes it"):
        with path.open("rb") as file:
            np.lib.format.read_magic(file)  # numpy.load takes other kinds of files, too
        values: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype.kind not in "biuf":
        raise UserError(f"{where} holds values of the type {values.dtype}; it takes real numbers")
    if values.size == 0:
        raise UserError(f"{where} holds no values: its shape is {values.shape}")
    _require_finite(values, where)
    return values


def largest(values: npt.NDArray[Any]) -> float:
    """Return the largest absolute value, reading some of the file at a time."""
    return max(float(np.abs(part.astype(np.float64)).max()) for _, part in _parts(values))


def are_whole(values: npt.NDArray[Any]) -> bool:
    """Return whether all values are whole numbers."""
    return values.dtype.kind in "biu" or all(
        bool((part == np.rint(part)).all()) for _, part in _parts(values)
    )


def _require_finite(values: npt.NDArray[Any], where: str) -> None:
    if values.dtype.kind != "f":
        return
    for first, part in _parts(values):
        # Scores are computed in float32, in which a large number of float64 would be infinite.
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(part.astype(np.float32))
        if wrong.any():
            place = np.unravel_index(first + int(np.argmax(wrong)), values.shape, order=_order(values))
            raise UserError(
                f"{where} holds a value that is no finite number of 32 bits, at index "
                f"{tuple(map(int, place))}"
            )


def _order(values: npt.NDArray[Any]) -> Literal["C", "F"]:
    """Return the order in which the values are in the file."""
    return "C" if values.flags.c_contiguous else "F"


def _parts(values: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield the place of the first value of each part in the order of the file, and the part."""
    flat = values.reshape(-1, order=_order(values))
    size = max(1, _CHECKED_BYTES // values.dtype.itemsize)
    for first in range(0, flat.size, size):
        yield first, flat[first : first + size]
