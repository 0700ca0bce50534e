"""Bytes at any place of a file: plain, or in bgzip's blocks, each of which can be unpacked by itself."""

import os
import struct
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

from isal import isal_zlib

from deeplift_cli.sequences.text import is_gzip
from deeplift_cli.stopping import check_stopped

_HEADER = struct.Struct("<4BI2BH2BHH")  # gzip's header, then its extra field that holds the subfield "BC"
_SIZE = struct.Struct("<I")  # of the unpacked block, at its end
_GZIP = 31  # zlib's number for one gzip member with its checksum
_UNPACKING_ERROR: Any = isal_zlib.error  # a class, which the package's annotations take for an instance
_LARGEST_BLOCK = 2**16
_KEPT_BLOCKS = 16
_CHECKED_EVERY = 4096


class DamagedError(Exception):
    """A file is not what it was when it was opened, or a block of it does not unpack."""


class RandomAccess(Protocol):
    """A file that can be read at any place; used by one thread at a time.

    Attributes
    ----------
    size : int
        Number of bytes, unpacked.
    """

    size: int

    def read(self, start: int, count: int) -> bytes:
        """The bytes from `start` on, fewer than `count` only at the end.

        Raises
        ------
        DamagedError
            If a block does not unpack to what its end says.
        OSError
            If the file cannot be read.
        """


class PlainFile:
    """A file as it stands: see `RandomAccess`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, start: int, count: int) -> bytes:
        """See `RandomAccess.read`."""
        found = os.pread(self._file.fileno(), count, start)
        while len(found) < count:  # one call reads 2 GB at most, and less on some file systems
            more = os.pread(self._file.fileno(), count - len(found), start + len(found))
            if not more:
                break
            found += more
        return found


class BgzipFile:
    """A bgzip file, unpacked: see `RandomAccess`.

    Where its blocks are is read from the blocks themselves, each of which says how long it is, packed and
    unpacked. A .gzi, which says the same and may belong to another file, is not needed.

    Raises
    ------
    DamagedError
        If the file is not made of bgzip's blocks from end to end.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._packed, self._unpacked = _blocks(self._file.fileno())
        self.size = self._unpacked[-1]
        self._kept = OrderedDict[int, bytes]()

    @property
    def has_end_marker(self) -> bool:
        """Whether the last block is empty, as bgzip writes it to show that nothing is cut off."""
        return self._unpacked[-1] == self._unpacked[-2]

    def read(self, start: int, count: int) -> bytes:
        """See `RandomAccess.read`."""
        parts = []
        end = min(start + count, self.size)
        number = bisect_right(self._unpacked, start) - 1
        while start < end:
            first, last = self._unpacked[number : number + 2]
            if last > start:
                part = self._block(number)[start - first : end - first]
                parts.append(part)
                start += len(part)
            number += 1
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        first, last = self._packed[number : number + 2]
        try:
            block = bytes(isal_zlib.decompress(os.pread(self._file.fileno(), last - first, first), _GZIP))
        except _UNPACKING_ERROR as error:
            raise DamagedError(f"the block of bgzip at byte {first:,} does not unpack: {error}") from error
        if len(block) != self._unpacked[number + 1] - self._unpacked[number]:
            raise DamagedError(f"the block of bgzip at byte {first:,} unpacks to another length than it says")
        self._kept[number] = block
        if len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return block


def open_in_place(path: Path) -> RandomAccess | None:
    """Open a plain or bgzip file to read it at any place; None for gzip that is not bgzip to its end."""
    if not is_gzip(path):
        return PlainFile(path)
    try:
        return BgzipFile(path)
    except DamagedError:
        return None


def _blocks(file: int) -> tuple[list[int], list[int]]:
    """Where each block begins, packed and unpacked, and after the last one where the file ends."""
    end = os.fstat(file).st_size
    packed, unpacked = [0], [0]
    header = os.pread(file, _HEADER.size, 0)
    while packed[-1] < end:
        if len(header) < _HEADER.size:
            raise DamagedError("a block of bgzip is cut short")
        magic_1, magic_2, method, flags, _, _, _, extra, sub_1, sub_2, length, size = _HEADER.unpack(header)
        if (magic_1, magic_2, method, flags, extra, sub_1, sub_2, length) != (31, 139, 8, 4, 6, 66, 67, 2):
            raise DamagedError(f"there is no block of bgzip at byte {packed[-1]:,}")
        following = packed[-1] + size + 1
        # The end of this block and the header of the next one, at once.
        ending = os.pread(file, _SIZE.size + _HEADER.size, following - _SIZE.size)
        if following > end or len(ending) < _SIZE.size or size < _HEADER.size + 2 * _SIZE.size:
            raise DamagedError("a block of bgzip is cut short")
        unpacked_size = _SIZE.unpack_from(ending)[0]
        if unpacked_size > _LARGEST_BLOCK:
            raise DamagedError(f"the block of bgzip at byte {packed[-1]:,} is too large")
        packed.append(following)
        unpacked.append(unpacked[-1] + unpacked_size)
        header = ending[_SIZE.size :]
        if not len(packed) % _CHECKED_EVERY:
            check_stopped()
    return packed, unpacked
