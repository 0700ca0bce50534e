"""Examine HDF5 files of weights: no value outside the file, and none beyond the memory."""

from pathlib import Path
from typing import Any, BinaryIO

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import require_memory
from deeplift_cli.models.foreign import errors_in_one_line

_COPIES = 3  # what HDF5 reads, the array, and the network's weight
_DEEPEST = 64


def check_weights(file: Path | BinaryIO, label: str) -> None:
    """Refuse links to other files, values in other files, and sizes beyond the memory.

    Parameters
    ----------
    file : path or binary file
    label : str
        The name in messages.

    Raises
    ------
    UserError
    """
    import h5py

    with errors_in_one_line(f"model file {label} is damaged or truncated"), h5py.File(file, "r") as opened:
        require_memory(label, _bytes_in(opened, label, "", _DEEPEST) * _COPIES)


def _bytes_in(group: Any, label: str, place: str, depth: int) -> int:
    """Return the bytes of all values below a group."""
    import h5py

    if depth == 0:
        raise UserError(f"model file {label} has groups within groups without end, as no model has")
    total = 0
    for name in group:
        where = f"{place}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"model file {label}: {where} is a link to another place; save the model again")
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _bytes_in(item, label, where, depth - 1)
        elif not isinstance(item, h5py.Dataset):
            raise UserError(f"model file {label}: {where} is neither group nor values; save the model again")
        elif item.external or item.is_virtual:
            raise UserError(
                f"model file {label}: {where} has its values in other files; save the model again"
            )
        else:
            total += item.nbytes
    return total
