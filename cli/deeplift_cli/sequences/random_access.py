"""Bytes at any place of a file, plain or in bgzip's blocks, and the table of those blocks (.gzi)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplift_cli.process.signals import check_stopped

# gzip's header, with time, flags and system left out, and its extra field, the subfield "BC", which holds the
# block's size less one.
_HEADER_SIZE = 18
_HEADER = bytes.fromhex("1f8b0804 0600 42430200")
_LARGEST_BLOCK = 2**16
_CHECKED_EVERY = 4096

Blocks = NDArray[np.int64]


class NotBgzipError(Exception):
    """A file is not made of bgzip's blocks from end to end."""


def find_blocks(path: Path) -> Blocks:
    """Where the blocks of a bgzip file are.

    Each block says how long it is, packed and unpacked, so that nothing has to be unpacked, and a .gzi beside
    the file, which may belong to another file, does not have to be believed.

    Returns
    -------
    array of int64 [B + 1, 2]
        First byte of each block, packed and unpacked; in the last row, the ends of the file.

    Raises
    ------
    NotBgzipError
        If the file is not made of bgzip's blocks from end to end.
    OSError
        If it cannot be read.
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
            # The end of this block, which is the unpacked size, and the header of the next one, at once.
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
    """Whether the last block is empty, as bgzip writes it to show that nothing is cut off."""
    return bool(blocks[-1, 1] == blocks[-2, 1])


def after_full_blocks(blocks: Blocks) -> set[int]:
    """Unpacked bytes that follow a block of 65,536: pyfaidx 0.9.2.2 cannot begin to read at one."""
    full = np.diff(blocks[:, 1]) == _LARGEST_BLOCK
    return set(blocks[1:, 1][full].tolist())


def write_gzi(path: Path, blocks: Blocks) -> None:
    """Write a table of blocks as samtools does, but with a last entry for the end of the file.

    Raises
    ------
    OSError
        If the file exists or cannot be written.
    """
    with path.open("xb") as file:
        file.write(np.append(len(blocks) - 1, blocks[1:]).astype("<u8").tobytes())


def read_gzi(path: Path, packed_size: int) -> Blocks | None:
    """Read what `write_gzi` wrote; None where it is something else, or not for a file of this size.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    numbers = np.fromfile(path, "<i8")
    if len(numbers) < 3 or len(numbers) != 1 + 2 * numbers[0] or numbers[-2] != packed_size:
        return None
    return np.vstack([np.zeros((1, 2), np.int64), numbers[1:].reshape(-1, 2)])


class Content:
    """The bytes of a file, unpacked.

    Parameters
    ----------
    path : Path
    blocks : array of int64 [B + 1, 2], optional
        Of a bgzip file, see `find_blocks`. Without them the file is read as it stands.

    Attributes
    ----------
    blocks : array of int64 [B + 1, 2] or None
    size : int
        Number of bytes.

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
            from Bio import bgzf  # late, as all of pyfaidx: see test_start_up.py

            self._file = bgzf.BgzfReader(fileobj=self._file, mode="rb")
            self.size = int(blocks[-1, 1])

    def read(self, start: int, count: int) -> bytes:
        """The bytes from `start` on, fewer than `count` only at the end.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError, RuntimeError, struct.error, zlib.error
            Biopython's, if a block does not unpack.
        """
        count = min(count, self.size - start)
        if count <= 0:
            return b""
        if self.blocks is None:
            self._file.seek(start)
        else:
            row = int(np.searchsorted(self.blocks[:, 1], start, "right")) - 1
            packed, unpacked = self.blocks[row].tolist()
            self._file.seek(packed << 16 | (start - unpacked))  # what the format calls a virtual offset
        found: bytes = self._file.read(count)
        return found
