"""Datasets that grow by rows: threads compress the chunks, and HDF5 stores the compressed chunks unchanged.

HDF5 itself compresses one chunk at a time, under a lock, by zlib, which takes longer than some models take to
score. This module applies the same filters, gzip and shuffle, so that every HDF5 library can read the chunks.
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

LEVEL = 1  # isal's higher levels take longer and make scores less than 1 % smaller
FILTERS = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True}
_CHUNKS_AHEAD = 4
_THREADS = 4  # each thread compresses some 5,000 sequences of 2,114 bp in a second


def compressing_threads() -> ThreadPoolExecutor:
    """Return threads that compress the chunks of one file's columns; a context manager."""
    return WillingThreads(min(_THREADS, os.cpu_count() or 1), "deeplift-compressor")


def deflated(chunk: npt.NDArray[Any]) -> bytes:
    """Return the bytes of a whole chunk after the filters shuffle and gzip."""
    return bytes(isal_zlib.compress(_shuffled(chunk), LEVEL))


class DamagedChunkError(ValueError):
    """The content of a chunk cannot come from `deflated`; the text of the error says why."""


def inflated(content: bytes, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the values of a whole chunk from its bytes after the filters shuffle and gzip.

    Parameters
    ----------
    content : bytes
    shape : sequence of int
        The shape of the chunk.
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
    """Return the first bytes of all numbers, then all second bytes, and so on."""
    content = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8)
    if chunk.itemsize == 1:
        return content
    return np.ascontiguousarray(content.reshape(-1, chunk.itemsize).T).reshape(-1)


def _unshuffled(content: bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the numbers from the bytes that `_shuffled` returned."""
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    numbers = np.empty((planes.shape[1], dtype.itemsize), np.uint8)
    for place, plane in enumerate(planes):  # four times as fast as to copy the transposed array
        numbers[:, place] = plane
    return numbers.reshape(-1).view(dtype)


class Column(Protocol):
    """One dataset of a file that is written row by row; used by one thread."""

    def append(self, values: Any) -> None:
        """Add rows, which may stay in memory until they fill a chunk."""

    def finish(self) -> None:
        """Write the rows that are still in memory; no row can be added any more."""


class ArrayColumn:
    """A column of numbers, with the filters `FILTERS` and a checksum of all values.

    Parameters
    ----------
    dataset : h5py.Dataset
        An empty dataset with these filters, chunked along its first axis only.
    pool : Executor
        The threads that compress chunks, inflate them and compute their checksum. At most a few chunks are in
        memory.
    digest : OrderedDigest, optional
        The digest of all values that are going to be added, if it is known. To inflate chunks only for the
        digest takes several times as long as to store the chunks.
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
        """Add a copy of rows [N, ...]."""
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
        """Add compressed chunks from `deflated`, which hold `rows` rows; only the last chunk may be padded.

        The compressed chunks are stored unchanged if the rows before them fill whole chunks. Otherwise they
        are inflated, and each row is compressed again in the chunk to which the row belongs.

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
        """Write the last rows, in a chunk padded with zeros as HDF5 pads chunks, and the checksum."""
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
        """Submit the work that compresses the next chunk and adds its rows to the digest, in order."""
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
        """Write chunks to HDF5, in order, until `until` chunks are left."""
        while len(self._pending) > until:
            first, end, content = self._pending.popleft()
            self._write_chunk(first, end, content.result())

    def _write_chunk(self, first: int, end: int, content: bytes) -> None:
        self._dataset.resize(end, axis=0)
        self._dataset.id.write_direct_chunk((first, *(0,) * (self._dataset.ndim - 1)), content)

    def _empty_chunk(self) -> npt.NDArray[Any]:
        return np.empty(*self._kind)


class TextColumn:
    """A column of texts. HDF5 keeps texts outside their dataset, so that no filter can compress the texts.

    Parameters
    ----------
    dataset : h5py.Dataset
        An empty, chunked dataset [0] of strings.
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
        """Write the texts that are still in memory, and the checksum."""
        self._write()
        self._dataset.attrs[CHECKSUM] = self._digest.hexdigest()

    def _write(self) -> None:
        if self._texts:
            row = len(self._dataset)
            self._dataset.resize(row + len(self._texts), axis=0)
            self._dataset[row:] = self._texts
            self._digest.add(text.encode("utf-8", "surrogateescape") for text in self._texts)
            self._texts = []
