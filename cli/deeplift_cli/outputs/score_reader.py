"""Reader of score files, batch by batch; all values are compared with the checksums in the file."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.checksums import OrderedDigest, TextDigest
from deeplift_cli.outputs.columns import DamagedChunkError
from deeplift_cli.outputs.datasets import NUMBERS, REGION_KEYS, WIDE, ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch
from deeplift_cli.outputs.read_batch import ReadBatch
from deeplift_cli.outputs.score_head import ScoreHead
from deeplift_cli.outputs.stored_chunks import check_same, inflated_rows, stored_chunk
from deeplift_cli.outputs.stored_regions import regions_of
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.records import Region

_BYTES_AT_ONCE = 64 * 1024 * 1024  # bytes of hypothetical contributions in a batch that is read
_PROBED_ROWS = 4096
_BATCHES_AHEAD = 1  # number of batches that are inflated while the batch before is used


class ScoreReader(ScoreHead):
    """A finished score file, whose rows are read batch by batch.

    Parameters
    ----------
    path : Path
    group : str, optional
        The group of a file of variants that is read as a score file; by default the file itself is one.

    Attributes
    ----------
    found_checksums : dict of str to str
        The checksums of the values of all datasets that `batches` read, by name; there after the last batch.

    Raises
    ------
    UserError
        If the file is not a score file; while the file is read, if it is damaged.
    """

    def packed(self, pool: Executor) -> Iterator[PackedBatch]:
        """Yield batches of at most K rows with their chunks as stored, each batch after a check.

        Parameters
        ----------
        pool : Executor
            The threads that inflate chunks and compute checksums.

        Raises
        ------
        UserError
            If a dataset is damaged, with its name and the rows; after the last batch, if the values of a
            dataset do not fit its checksum.
        """
        for batch in self.batches(pool):
            yield PackedBatch(batch.regions, batch.chunks, batch.numbers)

    def unpacked(self, pool: Executor) -> Iterator[ScoredBatch]:
        """Yield batches of at most K rows with their values, as `packed` yields compressed batches.

        Raises
        ------
        UserError
            As `packed`.
        """
        for batch in self.batches(pool):
            wide = (batch.values(name) for name in WIDE[:2])
            numbers: Any = {NUMBERS[name]: values for name, values in batch.numbers.items()}
            yield ScoredBatch(batch.regions, *wide, **numbers)

    def probe(self, alive: Callable[[], None]) -> None:
        """Read everything but the chunks of the wide datasets, of which only the offsets are read.

        Parameters
        ----------
        alive : callable
            Called now and then, as a sign of life.

        Raises
        ------
        UserError
            If something cannot be read.
        """
        widest = max(prod(rest) * kind.itemsize for rest, kind in self.layout.numbers.values())
        step = max(1, min(_PROBED_ROWS, _BYTES_AT_ONCE // widest))
        with self.scores() as file:
            for first in range(0, self.n_rows, step):
                rows = slice(first, min(first + step, self.n_rows))
                for name in self.layout.datasets:
                    with self.reading(_place(name, rows)):
                        if name in WIDE:
                            for place in self._firsts(rows):
                                file[name].id.get_chunk_info_by_coord((place, 0, 0))
                        else:
                            file[name][rows]
                alive()

    def read(self, file: h5py.File, name: str, rows: slice) -> npt.NDArray[Any]:
        """Return some rows of a dataset of numbers; checksums are not compared.

        Parameters
        ----------
        file : h5py.File
            The file from `open`.
        name : str
            The name of the dataset, such as "shap/seq".
        rows : slice
            Start and stop, both between 0 and N.

        Raises
        ------
        UserError
            If the rows cannot be read, with the name of the dataset and the rows.
        """
        with self.reading(_place(name, rows)):
            if name in WIDE:
                step = self.layout.rows_per_chunk
                self._check_stored(file[name], slice(rows.start // step * step, rows.stop))
            values: npt.NDArray[Any] = file[name][rows]
        return values

    def columns(
        self, names: Sequence[str], file: h5py.File | None = None
    ) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield the rows of small datasets, some at a time; texts are bytes.

        Parameters
        ----------
        names : sequence of str
            Names of datasets that are not wide, such as "qc/output" or "regions/name".
        file : h5py.File, optional
            The file from `open`; by default the file is opened for these columns.

        Raises
        ------
        UserError
            If a dataset cannot be read, with its name and the rows; after the last rows, if the values of a
            dataset do not fit its checksum.
        """
        digests = _Digests(self.layout)
        with self.scores() if file is None else nullcontext(file) as opened:
            for first in range(0, self.n_rows, _PROBED_ROWS):
                rows = slice(first, min(first + _PROBED_ROWS, self.n_rows))
                with self.reading(_place("shap/seq", rows)):
                    self._check_stored(opened["shap/seq"], rows)
                found = {}
                for name in names:
                    with self.reading(_place(name, rows)):
                        found[name] = opened[name][rows]
                    digests.of[name].add(found[name])
                yield found
        sums = digests.hexdigests()
        self._check_sums({name: sums[name] for name in names})

    def around(self, row: int, pool: Executor) -> ReadBatch:
        """Return the rows of the chunk that holds this row; checksums are not compared.

        Raises
        ------
        UserError
            If something cannot be read, with the dataset's name and the rows.
        """
        first = row // self.layout.rows_per_chunk * self.layout.rows_per_chunk
        rows = slice(first, min(first + self.layout.rows_per_chunk, self.n_rows))
        with self.scores() as file:
            return self._complete(file, self._begin(file, rows, _Digests(self.layout), pool, WIDE))

    def _check_stored(self, dataset: h5py.Dataset, rows: slice) -> None:
        """Refuse a dataset that lacks chunks: a damaged file could claim any number of rows."""
        for first in self._firsts(rows):
            if dataset.id.get_chunk_info_by_coord((first, 0, 0)).byte_offset is None:
                raise DamagedChunkError("the chunk is missing")

    def _check_sums(self, found: Mapping[str, str]) -> None:
        """Compare the checksums of all values of datasets with the stored checksums."""
        for name, stored in self.checksums.items():
            if name in found and found[name] != stored:
                place = _place(name, slice(0, self.n_rows))
                raise self.damaged(f"{place}: the values are not those of the stored checksum")

    @property
    def _rows_at_once(self) -> int:
        """The number of rows in a batch: whole chunks, at most K rows, and at most `_BYTES_AT_ONCE`."""
        chunk = self.layout.rows_per_chunk
        most = _BYTES_AT_ONCE // (4 * self.layout.length * np.dtype(self.layout.dtype).itemsize)
        return max(chunk, min(self.layout.batch_size, most) // chunk * chunk)

    def batches(self, pool: Executor, wide: Sequence[str] = WIDE) -> Iterator[ReadBatch]:
        """Yield batches of all datasets, as `packed`; after the last batch, `found_checksums` is complete.

        Parameters
        ----------
        pool : Executor
        wide : sequence of str, optional
            The wide datasets to read; by default all.

        Raises
        ------
        UserError
            As `packed`.
        """
        step, digests = self._rows_at_once, _Digests(self.layout)
        pending = deque[_Pending]()
        with self.scores() as file:
            for first in range(0, self.n_rows, step):
                rows = slice(first, min(first + step, self.n_rows))
                pending.append(self._begin(file, rows, digests, pool, wide))
                if len(pending) > _BATCHES_AHEAD:
                    yield self._complete(file, pending.popleft())
            while pending:
                yield self._complete(file, pending.popleft())
        unread = set(WIDE) - set(wide)
        self.found_checksums = {
            name: found for name, found in digests.hexdigests().items() if name not in unread
        }
        self._check_sums(self.found_checksums)

    def _begin(
        self, file: h5py.Group, rows: slice, digests: "_Digests", pool: Executor, wide: Sequence[str]
    ) -> "_Pending":
        """Read stored rows, and submit the chunks of the wanted wide datasets to be inflated."""
        numbers: dict[str, npt.NDArray[Any]] = {}
        columns: dict[str, npt.NDArray[Any]] = {}
        chunks: dict[str, list[bytes]] = {}
        parts: dict[str, list[Future[npt.NDArray[Any]]]] = {}
        for name in self.layout.numbers:
            with self.reading(_place(name, rows)):
                numbers[name] = file[name][rows]
            digests.of[name].add(numbers[name])
        for key in REGION_KEYS:
            name = f"regions/{key}"
            with self.reading(_place(name, rows)):
                columns[key] = file[name][rows]
            digests.of[name].add(columns[key])
        for name, dtype in self.layout.wide.items():
            if name not in wide:
                continue
            with self.reading(_place(name, rows)):
                chunks[name] = [stored_chunk(file[name], first) for first in self._firsts(rows)]
            shape, digest = (self.layout.rows_per_chunk, 4, self.layout.length), digests.of[name]
            parts[name] = [
                pool.submit(inflated_rows, content, shape, dtype, rows.stop - first, digest, digest.turn())
                for content, first in zip(chunks[name], self._firsts(rows), strict=True)
            ]
        return _Pending(rows, regions_of(columns), numbers, chunks, parts)

    def _firsts(self, rows: slice) -> range:
        """The first rows of the chunks that begin in these rows."""
        step = self.layout.rows_per_chunk
        return range(-(-rows.start // step) * step, rows.stop, step)

    def _complete(self, file: h5py.Group, pending: "_Pending") -> ReadBatch:
        """Wait for the values of a batch."""
        wide: dict[str, list[npt.NDArray[Any]]] = {}
        for name, parts in pending.parts.items():
            wide[name] = []
            for part, first in zip(parts, self._firsts(pending.rows), strict=True):
                end = min(first + self.layout.rows_per_chunk, self.n_rows)
                with self.reading(_place(name, slice(first, end))):
                    wide[name].append(part.result())
                    if first == 0:
                        check_same(file[name][:end], wide[name][0])
        return ReadBatch(pending.rows, pending.regions, wide, pending.numbers, pending.chunks)


@dataclass(frozen=True)
class _Pending:
    """A batch whose chunks are being inflated."""

    rows: slice
    regions: list[Region]
    numbers: dict[str, npt.NDArray[Any]]
    chunks: dict[str, list[bytes]]
    parts: dict[str, list[Future[npt.NDArray[Any]]]]


def probed(path: Path) -> ScoreReader:
    """Open a score file of unknown origin, after a child process has tested that HDF5 can read the file.

    Raises
    ------
    UserError
        If the file is not a score file, or is damaged.
    """
    try:
        watched(lambda alive: ScoreReader(path).probe(alive))
    except LostError as error:
        raise UserError(f"score file {path} is damaged: reading it, HDF5 {error}; score it again") from error
    return ScoreReader(path)


class _Digests:
    """The digests of all datasets, to which values are added when they are read."""

    def __init__(self, layout: ScoreLayout) -> None:
        self.of: dict[str, Any] = {
            name: TextDigest() if kind.dtype is None else OrderedDigest()
            for name, kind in layout.datasets.items()
        }

    def hexdigests(self) -> dict[str, str]:
        """Return the checksums of all values, by dataset."""
        return {name: digest.hexdigest() for name, digest in self.of.items()}


def _place(name: str, rows: slice) -> str:
    return f"{name}, rows {rows.start + 1} to {rows.stop}"
