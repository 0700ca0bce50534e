"""Datasets that grow by rows: chunks are compressed on threads and handed to HDF5 as they are to be stored.

HDF5 itself compresses one chunk at a time, under a lock, by zlib, which takes longer than some models take to
score. What is written here are the same filters, gzip and shuffle, and every HDF5 reads it.
"""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from deeplift_cli.outputs.threads import WillingThreads

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


def _shuffled(chunk: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """First bytes of all numbers, then all second ones, and so on."""
    content = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8)
    if chunk.itemsize == 1:
        return content
    return np.ascontiguousarray(content.reshape(-1, chunk.itemsize).T).reshape(-1)


class Column(Protocol):
    """One dataset of a file that is written row by row; used by one thread."""

    def append(self, values: Any) -> None:
        """Add rows; they may stay in memory until there are enough of them."""

    def finish(self) -> None:
        """Write what is left; nothing can be added any more."""


class ArrayColumn:
    """Numbers, with the filters `FILTERS`.

    Parameters
    ----------
    dataset : h5py.Dataset
        Made with these filters, chunked along its first axis only, and empty.
    pool : Executor
        Where chunks are compressed. At most a few of them are in memory.
    """

    def __init__(self, dataset: h5py.Dataset, pool: Executor) -> None:
        self._dataset = dataset
        self._pool = pool
        self._chunk = self._empty_chunk()
        self._filled = 0
        self._first_row = 0
        self._pending = deque[tuple[int, int, Future[bytes]]]()  # first row, rows after it, content

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
                self._submit()

    def append_deflated(self, chunks: Sequence[bytes], rows: int) -> None:
        """Add whole chunks as `deflated` leaves them, of so many rows in all.

        Raises
        ------
        ValueError
            If rows that were added before do not fill their chunk.
        """
        self._write(until=0)
        for content in chunks:
            if self._filled or self._first_row % len(self._chunk):
                raise ValueError(
                    f"a whole chunk after {self._first_row + self._filled} rows of {self._dataset.name}"
                )
            end = self._first_row + min(rows, len(self._chunk))
            self._write_chunk(self._first_row, end, content)
            rows, self._first_row = rows - (end - self._first_row), end

    def finish(self) -> None:
        """Write what is left, the last chunk filled up with zeros as HDF5 would."""
        if self._filled:
            self._chunk[self._filled :] = 0
            self._submit()
        self._write(until=0)

    def _submit(self) -> None:
        end = self._first_row + self._filled
        self._pending.append((self._first_row, end, self._pool.submit(deflated, self._chunk)))
        self._chunk, self._filled, self._first_row = self._empty_chunk(), 0, end
        self._write(until=_CHUNKS_AHEAD)

    def _write(self, until: int) -> None:
        """Hand chunks to HDF5, in order, those that are ready and all but so many."""
        while self._pending and (len(self._pending) > until or self._pending[0][2].done()):
            first, end, content = self._pending.popleft()
            self._write_chunk(first, end, content.result())

    def _write_chunk(self, first: int, end: int, content: bytes) -> None:
        self._dataset.resize(end, axis=0)
        self._dataset.id.write_direct_chunk((first, *(0,) * (self._dataset.ndim - 1)), content)

    def _empty_chunk(self) -> npt.NDArray[Any]:
        return np.empty(self._dataset.chunks, self._dataset.dtype)


class TextColumn:
    """Texts, which HDF5 keeps apart from their dataset, so that there is nothing to compress.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of strings, [0], chunked.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._texts = list[str]()

    def append(self, values: Sequence[str]) -> None:
        """Add rows."""
        self._texts += values
        if len(self._texts) >= self._dataset.chunks[0]:
            self.finish()

    def finish(self) -> None:
        """Write what is left."""
        if self._texts:
            row = len(self._dataset)
            self._dataset.resize(row + len(self._texts), axis=0)
            self._dataset[row:] = self._texts
            self._texts = []
