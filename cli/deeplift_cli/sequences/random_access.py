"""Random access to the bytes of a file, plain or in bgzip's blocks, and the table of the blocks (.gzi)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplift_cli.process.signals import check_stopped

# gzip's header without time, flags and system, and its extra field with the subfield "BC", which holds the
# size of the block minus one.
_HEADER_SIZE = 18
_HEADER = bytes.fromhex("1f8b0804 0600 42430200")
_LARGEST_BLOCK = 2**16
_CHECKED_EVERY = 4096

Blocks = NDArray[np.int64]


class NotBgzipError(Exception):
    """A file does not consist of bgzip's blocks from end to end."""


def find_blocks(path: Path) -> Blocks:
    """Find the offsets of the blocks of a bgzip file.

    Each block holds its packed and unpacked size, so that no block has to be unpacked. A .gzi beside the file
    is not needed; it may belong to another file.

    Returns
    -------
    array of int64 [B + 1, 2]
        First byte of each block, packed and unpacked; in the last row, the ends of the file.

    Raises
    ------
    NotBgzipError
        If the file does not consist of bgzip's blocks from end to end.
    OSError
        If the file cannot be read.
    """
    with path.open("rb", buffering=0) as opened:
        file = opened.fileno()
        end = os.fstat(file).st_size
        packed, unpacked = [0], [0]
        header = os.pread(file, _HEADER_SIZE, 0)
        while packed[-1] < end:
            following = packed[-1] + int.from_bytes(header[16:], "little") + 1
            if header[:4] + header[10:16] != _HEADER or following < packed[-1] + _HEADER_SIZE + 8:
                raise NotBgzipError
            # One read gets the end of this block, which is its unpacked size, and the next block's header.
            ending = os.pread(file, 4 + _HEADER_SIZE, following - 4)
            unpacked_size = int.from_bytes(ending[:4], "little")
            if following > end or unpacked_size > _LARGEST_BLOCK:
                raise NotBgzipError
            packed.append(following)
            unpacked.append(unpacked[-1] + unpacked_size)
            header = ending[4:]
            if not len(packed) % _CHECKED_EVERY:
                check_stopped()
    return np.array([packed, unpacked], np.int64).T


def has_end_marker(blocks: Blocks) -> bool:
    """Return whether the last block is empty; bgzip writes an empty block to mark the end of the file."""
    return bool(blocks[-1, 1] == blocks[-2, 1])


def after_full_blocks(blocks: Blocks) -> set[int]:
    """Return the unpacked offsets after full blocks (65,536 bytes), at which pyfaidx 0.9.2.2 cannot begin."""
    full = np.diff(blocks[:, 1]) == _LARGEST_BLOCK
    return set(blocks[1:, 1][full].tolist())


def write_gzi(path: Path, blocks: Blocks) -> None:
    """Write a table of blocks as samtools does, with one more entry for the end of the file.

    Raises
    ------
    OSError
        If the file exists or cannot be written.
    """
    with path.open("xb") as file:
        file.write(np.append(len(blocks) - 1, blocks[1:]).astype("<u8").tobytes())


def read_gzi(path: Path, packed_size: int) -> Blocks | None:
    """Read a table that `write_gzi` wrote; None for any other content, or a file of another size.

    Raises
    ------
    OSError
        If the table cannot be read.
    """
    numbers = np.fromfile(path, "<i8")
    if len(numbers) < 3 or len(numbers) != 1 + 2 * numbers[0] or numbers[-2] != packed_size:
        return None
    return np.vstack([np.zeros((1, 2), np.int64), numbers[1:].reshape(-1, 2)])


class Content:
    """Random access to the unpacked bytes of a file.

    Parameters
    ----------
    path : Path
    blocks : array of int64 [B + 1, 2], optional
        The blocks of a bgzip file, see `find_blocks`. Without blocks the file is read as a plain file.

    Attributes
    ----------
    blocks : array of int64 [B + 1, 2] or None
    size : int
        Number of unpacked bytes.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """

    def __init__(self, path: Path, blocks: Blocks | None = None) -> None:
        self.blocks = blocks
        self._file: Any = path.open("rb")
        if blocks is None:
            self.size = os.fstat(self._file.fileno()).st_size
        else:
            from Bio import bgzf  # imported here for a fast start, as pyfaidx: see test_start_up.py

            self._file = bgzf.BgzfReader(fileobj=self._file, mode="rb")
            self.size = int(blocks[-1, 1])

    def read(self, start: int, count: int) -> bytes:
        """Return the bytes from `start` on; fewer than `count` only at the end of the file.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError, RuntimeError, struct.error, zlib.error
            From Biopython, if a block does not unpack.
        """
        count = min(count, self.size - start)
        if count <= 0:
            return b""
        if self.blocks is None:
            self._file.seek(start)
        else:
            row = int(np.searchsorted(self.blocks[:, 1], start, "right")) - 1
            packed, unpacked = self.blocks[row].tolist()
            self._file.seek(packed << 16 | (start - unpacked))  # the virtual offset of the format
        found: bytes = self._file.read(count)
        return found
