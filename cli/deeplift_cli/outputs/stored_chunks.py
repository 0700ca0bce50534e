"""Compressed chunks as they are stored in a score file, read without the filters of HDF5."""

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.checksums import OrderedDigest
from deeplift_cli.outputs.columns import DamagedChunkError, inflated


def stored_chunk(dataset: h5py.Dataset, first: int) -> bytes:
    """Return the content of a chunk by its first row.

    Raises
    ------
    DamagedChunkError
        If the chunk is missing, is larger than its values can be, or was stored without its filters: the
        index of the file may be damaged.
    """
    place = (first, 0, 0)
    info = dataset.id.get_chunk_info_by_coord(place)
    size = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
    if info.byte_offset is None:
        raise DamagedChunkError("the chunk is missing")
    if info.size > size + size // 100 + 1024:  # the largest size of incompressible content after gzip
        raise DamagedChunkError(f"a chunk of {info.size:,} bytes")
    mask, content = dataset.id.read_direct_chunk(place)
    if mask:
        raise DamagedChunkError("the chunk was stored without its filters")
    return bytes(content)


def inflated_rows(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int, digest: OrderedDigest, turn: int
) -> npt.NDArray[Any]:
    """Return the values [rows, ...] of a chunk, and add them to the dataset's digest as the part `turn`."""
    values = inflated(content, shape, dtype)[:rows]
    digest.put(turn, values)
    return values


def check_same(by_hdf5: npt.NDArray[Any], by_us: npt.NDArray[Any]) -> None:
    """Check that HDF5 reads the same values, which also depend on the filters' parameters in the file.

    Raises
    ------
    DamagedChunkError
        If HDF5 reads other values.
    """
    if by_hdf5.tobytes() != by_us.tobytes():
        raise DamagedChunkError("HDF5 reads other values than are stored")
