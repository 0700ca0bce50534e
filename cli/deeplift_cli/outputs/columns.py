"""Datasets that grow by rows: chunks are compressed on threads and handed to HDF5 as they are to be stored.

HDF5 itself compresses one chunk at a time, under a lock, by zlib, which takes longer than some models take to
score. What is written here are the same filters, gzip and shuffle, and every HDF5 reads it.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from math import prod
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from deeplift_cli.outputs.checksums import CHECKSUM, OrderedDigest, TextDigest
from deeplift_cli.threads.optional import WillingThreads

LEVEL = 1  # isal's higher levels take longer and save less than one part in a hundred of scores
FILTERS = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True}
_CHUNKS_AHEAD = 4
_THREADS = 4  # each manages some 5,000 sequences of 2,114 bp in a second


def compressing_threads() -> ThreadPoolExecutor:
    """Threads for the chunks of one file's columns; a context manager."""
    return WillingThreads(min(_THREADS, os.cpu_count() or 1), "deeplift-compressor")


def deflated(chunk: npt.NDArray[Any]) -> bytes:
    """A whole chunk as the filters shuffle and gzip leave it."""
    return bytes(isal_zlib.compress(_shuffled(chunk), LEVEL))


class DamagedChunkError(ValueError):
    """A chunk is not what `deflated` made; its text says why."""


def inflated(content: bytes, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values of a whole chunk, from what the filters shuffle and gzip left.

    Parameters
    ----------
    content : bytes
    shape : sequence of int
        Of the chunk.
    dtype : numpy dtype

    Raises
    ------
    DamagedChunkError
        If the content is not a gzip stream of exactly this size, with the right checksum at its end.
    """
    size = prod(shape) * dtype.itemsize
    stream = isal_zlib.decompressobj()
    try:
        plain = stream.decompress(content, size + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub does not say that this is a class
        raise DamagedChunkError(str(error)) from error
    if len(plain) != size or not stream.eof or stream.unused_data:
        raise DamagedChunkError(f"a chunk of another size than {size:,} bytes")
    return _unshuffled(plain, dtype).reshape(shape)


def _shuffled(chunk: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """First bytes of all numbers, then all second ones, and so on."""
    content = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8)
    if chunk.itemsize == 1:
        return content
    return np.ascontiguousarray(content.reshape(-1, chunk.itemsize).T).reshape(-1)


def _unshuffled(content: bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The numbers again: what `_shuffled` takes apart."""
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    numbers = np.empty((planes.shape[1], dtype.itemsize), np.uint8)
    for place, plane in enumerate(planes):  # four times as fast as to copy the transposed array
        numbers[:, place] = plane
    return numbers.reshape(-1).view(dtype)


class Column(Protocol):
    """One dataset of a file that is written row by row; used by one thread."""

    def append(self, values: Any) -> None:
        """Add rows; they may stay in memory until there are enough of them."""

    def finish(self) -> None:
        """Write what is left; nothing can be added any more."""


class ArrayColumn:
    """Numbers, with the filters `FILTERS`, and the checksum of them all.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made with these filters, chunked along its first axis only, and empty.
    pool : Executor
        Where chunks are compressed, inflated and summed up. At most a few of them are in memory.
    digest : OrderedDigest, optional
        Of all values that are going to be added, where that is known: to inflate chunks only to sum them up
        takes several times as long as to store them.
    """

    def __init__(self, dataset: h5py.Dataset, pool: Executor, digest: OrderedDigest | None = None) -> None:
        self._dataset = dataset
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] = (dataset.chunks, dataset.dtype)
        self._pool = pool
        self._is_known = digest is not None
        self._digest = digest or OrderedDigest()
        self._chunk = self._empty_chunk()
        self._filled = 0
        self._first_row = 0
        self._pending = deque[tuple[int, int, Future[bytes]]]()  # first row, row after the last, content

    def append(self, values: npt.ArrayLike) -> None:
        """Add rows [N, ...]; they are copied."""
        values = np.asarray(values)
        done = 0
        while done < len(values):
            rows = min(len(values) - done, len(self._chunk) - self._filled)
            self._chunk[self._filled : self._filled + rows] = values[done : done + rows]
            done += rows
            self._filled += rows
            if self._filled == len(self._chunk):
                self._submit_chunk()

    def append_deflated(self, chunks: Sequence[bytes], rows: int) -> None:
        """Add chunks as `deflated` leaves them, of so many rows in all; only the last may be filled up.

        Whole chunks are stored as they are where the rows before them fill their own chunks. All others are
        taken apart and compressed again, each row in the chunk where it belongs.

        Raises
        ------
        DamagedChunkError
            If a chunk cannot be inflated, here or in a later call.
        """
        whole = 0 if self._filled else rows // len(self._chunk)
        for content in chunks[:whole]:
            self._submit(len(self._chunk), self._summed_up, content)
        left = rows - whole * len(self._chunk)
        parts = [self._pool.submit(inflated, content, *self._kind) for content in chunks[whole:]]
        for part in parts:
            values = part.result()[:left]
            self.append(values)
            left -= len(values)

    def finish(self) -> None:
        """Write what is left, the last chunk filled up with zeros as HDF5 would, and the checksum."""
        if self._filled:
            self._chunk[self._filled :] = 0
            self._submit_chunk()
        self._write(until=0)
        self._dataset.attrs[CHECKSUM] = self._digest.hexdigest()

    def _submit_chunk(self) -> None:
        chunk, filled = self._chunk, self._filled
        self._chunk, self._filled = self._empty_chunk(), 0
        self._submit(filled, self._deflated, chunk, filled)

    def _submit(self, rows: int, work: Callable[..., bytes], *given: Any) -> None:
        """Have the next chunk made ready, and its rows summed up in their turn."""
        first, self._first_row = self._first_row, self._first_row + rows
        turn = None if self._is_known else self._digest.turn()
        self._pending.append((first, first + rows, self._pool.submit(work, turn, *given)))
        self._write(until=_CHUNKS_AHEAD)

    def _deflated(self, turn: int | None, chunk: npt.NDArray[Any], rows: int) -> bytes:
        if turn is not None:
            self._digest.put(turn, chunk[:rows])
        return deflated(chunk)

    def _summed_up(self, turn: int | None, content: bytes) -> bytes:
        if turn is not None:
            self._digest.put(turn, inflated(content, *self._kind))
        return content

    def _write(self, until: int) -> None:
        """Hand chunks to HDF5, in order, until so many are left."""
        while len(self._pending) > until:
            first, end, content = self._pending.popleft()
            self._write_chunk(first, end, content.result())

    def _write_chunk(self, first: int, end: int, content: bytes) -> None:
        self._dataset.resize(end, axis=0)
        self._dataset.id.write_direct_chunk((first, *(0,) * (self._dataset.ndim - 1)), content)

    def _empty_chunk(self) -> npt.NDArray[Any]:
        return np.empty(*self._kind)


class TextColumn:
    """Texts, which HDF5 keeps apart from their dataset, so that there is nothing to compress.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of strings, [0], chunked.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._digest = TextDigest()
        self._texts = list[str]()

    def append(self, values: Sequence[str]) -> None:
        """Add rows."""
        self._texts += values
        if len(self._texts) >= self._dataset.chunks[0]:
            self._write()

    def finish(self) -> None:
        """Write what is left, and the checksum."""
        self._write()
        self._dataset.attrs[CHECKSUM] = self._digest.hexdigest()

    def _write(self) -> None:
        if self._texts:
            row = len(self._dataset)
            self._dataset.resize(row + len(self._texts), axis=0)
            self._dataset[row:] = self._texts
            self._digest.add(text.encode("utf-8", "surrogateescape") for text in self._texts)
            self._texts = []
