"""Reader of score files, batch by batch; all values are compared with the checksums in the file."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.options.numbers import LARGEST_BATCH
from deeplift_cli.options.shards import parse_shard
from deeplift_cli.outputs import chromosomes, structure
from deeplift_cli.outputs.attributes import AttributeTypeError, read_attributes
from deeplift_cli.outputs.checksums import (
    ATTRIBUTES_CHECKSUM,
    CHECKSUM,
    OrderedDigest,
    TextDigest,
    attributes_digest,
)
from deeplift_cli.outputs.columns import DamagedChunkError, inflated
from deeplift_cli.outputs.datasets import (
    FORMAT,
    FORMAT_VERSION,
    MUTANTS,
    NUMBERS,
    OPTIONAL,
    REFERENCE_OUTPUT,
    REGION_KEYS,
    TEXTS,
    VARIANTS_FORMAT,
    WIDE,
    ScoreLayout,
)
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch
from deeplift_cli.outputs.structure import LayoutError
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.records import Region

T = TypeVar("T")

_BYTES_AT_ONCE = 64 * 1024 * 1024  # bytes of hypothetical contributions in a batch that is read
_PROBED_ROWS = 4096
_BATCHES_AHEAD = 1  # number of batches that are inflated while the batch before is used


class ScoreReader:
    """A finished score file, which is open only while its batches are read.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    n_rows : int
    layout : ScoreLayout
    attrs : dict
        Attributes as they are stored.
    shard : str or None
        "2/4"; None for a whole job.
    fingerprint : dict
        The fingerprint of the job that made the scores.
    model : str or list of str
        SHA-256 of the model, or of the models of an average.
    n_skipped : int
    worst : float or None
        The largest relative error of summation-to-delta; None for in-silico mutagenesis.
    chrom_sizes : dict of str to int, or None
        Lengths of the genome's chromosomes in bp; None if the file does not hold any.
    checksums : dict of str to str
        The stored checksums of all datasets, by name; empty if an early version without checksums wrote the
        file.

    Raises
    ------
    UserError
        If the file is not a score file; while it is read, if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            with self._reading("its attributes"):
                self.attrs = read_attributes(file)
            if self.attrs.get("format") == VARIANTS_FORMAT:
                raise UserError(
                    f"{path} holds variants (deeplift variants): its groups ref and alt are score files; "
                    "docs/variants.md shows how to copy a group to a file of its own"
                )
            if (self.attrs.get("format"), self.attrs.get("format_version")) != (FORMAT, FORMAT_VERSION):
                raise UserError(f"{path} is not a score file of version {FORMAT_VERSION} (deeplift score)")
            self._read_attributes()
            with self._reading("its layout"):
                self._read_layout(file)
        if bool(self.checksums) != (ATTRIBUTES_CHECKSUM in self.attrs):
            raise self._damaged(f"{ATTRIBUTES_CHECKSUM} or the checksums of datasets are missing")
        if self.checksums and self.attrs.pop(ATTRIBUTES_CHECKSUM) != attributes_digest(self.attrs):
            raise self._damaged("its attributes: they are not those of the stored checksum")

    def _read_attributes(self) -> None:
        self.shard = self._attribute("shard", _shard)
        self.fingerprint: dict[str, Any] = self._attribute("fingerprint", _fingerprint)
        self.model = self._attribute("model_sha256", _texts)
        self.n_skipped = self._attribute("n_skipped", _count)
        self.worst = self._attribute("worst_relative_completeness_error", _real_or_none)
        self.target = self._attribute("target", _anything)
        self._batch_size = self._attribute("batch_size", _count)
        if not 1 <= self._batch_size <= LARGEST_BATCH:
            raise self._damaged(f"attribute batch_size is {self._batch_size}")

    def _attribute(self, name: str, parse: Callable[[Any], T]) -> T:
        try:
            return parse(self.attrs.get(name))
        except ValueError as error:
            shown = "missing" if name not in self.attrs else f"{self.attrs[name]!r:.40}"
            raise self._damaged(f"attribute {name} is {shown}") from error

    def _read_layout(self, file: h5py.File) -> None:
        file.visit(lambda _: None)  # programs such as h5ls must be able to list the content
        scores = structure.dataset(file, "shap/seq")
        if scores.ndim != 3 or scores.dtype not in (np.float32, np.float16):
            raise LayoutError("shap/seq has another shape or type")
        self.n_rows = int(scores.shape[0])
        optional = frozenset(name for name in OPTIONAL if name in file)
        self.layout = ScoreLayout(
            int(scores.shape[2]),
            0 if MUTANTS in optional else _n_references(file),
            self._batch_size,
            str(scores.dtype),
            optional,
        )
        if self.layout.has_references == (self.worst is None):
            raise LayoutError("worst_relative_completeness_error does not fit the datasets")
        for problem in structure.problems(file, self.layout, self.n_rows):
            raise LayoutError(problem)
        self.chrom_sizes = chromosomes.read(file)
        stored = {name: file[name].attrs.get(CHECKSUM) for name in self.layout.datasets}
        self.checksums = {name: value for name, value in stored.items() if isinstance(value, str)}
        if self.checksums and len(self.checksums) < len(stored):
            missing = next(name for name in stored if name not in self.checksums)
            raise LayoutError(f"{missing} has no checksum")

    def _opened(self) -> h5py.File:
        if not self.path.is_file():
            raise UserError(f"score file {self.path} does not exist")
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            if error.errno:
                raise UserError(f"score file {self.path}: {os.strerror(error.errno)}") from error
            raise UserError(
                f"score file {self.path} is not an HDF5 file, or damaged{look_alike(self.path)}"
            ) from error

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn exceptions of HDF5 and h5py, which can have any type at a damaged file, into one line."""
        try:
            yield
        except UserError:
            raise
        except (LayoutError, AttributeTypeError, DamagedChunkError) as error:
            raise self._damaged(f"{what}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise self._damaged(f"{what}: {detail}") from error

    def _damaged(self, what: str) -> UserError:
        shard = getattr(self, "shard", None)
        remedy = f"score shard {shard} again" if shard else "score it again, or take another copy"
        return UserError(f"score file {self.path} is damaged, {what}; {remedy}")

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
        with self._opened() as file:
            for first in range(0, self.n_rows, step):
                rows = slice(first, min(first + step, self.n_rows))
                for name in self.layout.datasets:
                    with self._reading(_place(name, rows)):
                        if name in WIDE:
                            for place in self._firsts(rows):
                                file[name].id.get_chunk_info_by_coord((place, 0, 0))
                        else:
                            file[name][rows]
                alive()

    def open(self) -> h5py.File:
        """Return the file, opened for `columns` and `read` until the caller closes it.

        Raises
        ------
        UserError
            If the file cannot be opened.
        """
        return self._opened()

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
        with self._reading(_place(name, rows)):
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
        with self._opened() if file is None else nullcontext(file) as opened:
            for first in range(0, self.n_rows, _PROBED_ROWS):
                rows = slice(first, min(first + _PROBED_ROWS, self.n_rows))
                with self._reading(_place("shap/seq", rows)):
                    self._check_stored(opened["shap/seq"], rows)
                found = {}
                for name in names:
                    with self._reading(_place(name, rows)):
                        found[name] = opened[name][rows]
                    digests.of[name].add(found[name])
                yield found
        sums = digests.hexdigests()
        self._check_sums({name: sums[name] for name in names})

    def around(self, row: int, pool: Executor) -> "ReadBatch":
        """Return the rows of the chunk that holds this row; checksums are not compared.

        Raises
        ------
        UserError
            If something cannot be read, with the dataset's name and the rows.
        """
        first = row // self.layout.rows_per_chunk * self.layout.rows_per_chunk
        rows = slice(first, min(first + self.layout.rows_per_chunk, self.n_rows))
        with self._opened() as file:
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
                raise self._damaged(f"{place}: the values are not those of the stored checksum")

    @property
    def _rows_at_once(self) -> int:
        """The number of rows in a batch: whole chunks, at most K rows, and at most `_BYTES_AT_ONCE`."""
        chunk = self.layout.rows_per_chunk
        most = _BYTES_AT_ONCE // (4 * self.layout.length * np.dtype(self.layout.dtype).itemsize)
        return max(chunk, min(self.layout.batch_size, most) // chunk * chunk)

    def batches(self, pool: Executor, wide: Sequence[str] = WIDE) -> Iterator["ReadBatch"]:
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
        with self._opened() as file:
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
        self, file: h5py.File, rows: slice, digests: "_Digests", pool: Executor, wide: Sequence[str]
    ) -> "_Pending":
        """Read stored rows, and submit the chunks of the wanted wide datasets to be inflated."""
        numbers: dict[str, npt.NDArray[Any]] = {}
        columns: dict[str, npt.NDArray[Any]] = {}
        chunks: dict[str, list[bytes]] = {}
        parts: dict[str, list[Future[npt.NDArray[Any]]]] = {}
        for name in self.layout.numbers:
            with self._reading(_place(name, rows)):
                numbers[name] = file[name][rows]
            digests.of[name].add(numbers[name])
        for key in REGION_KEYS:
            name = f"regions/{key}"
            with self._reading(_place(name, rows)):
                columns[key] = file[name][rows]
            digests.of[name].add(columns[key])
        for name, dtype in self.layout.wide.items():
            if name not in wide:
                continue
            with self._reading(_place(name, rows)):
                chunks[name] = [_stored_chunk(file[name], first) for first in self._firsts(rows)]
            shape, digest = (self.layout.rows_per_chunk, 4, self.layout.length), digests.of[name]
            parts[name] = [
                pool.submit(_inflated, content, shape, dtype, rows.stop - first, digest, digest.turn())
                for content, first in zip(chunks[name], self._firsts(rows), strict=True)
            ]
        return _Pending(rows, regions_of(columns), numbers, chunks, parts)

    def _firsts(self, rows: slice) -> range:
        """The first rows of the chunks that begin in these rows."""
        step = self.layout.rows_per_chunk
        return range(-(-rows.start // step) * step, rows.stop, step)

    def _complete(self, file: h5py.File, pending: "_Pending") -> "ReadBatch":
        """Wait for the values of a batch."""
        wide: dict[str, list[npt.NDArray[Any]]] = {}
        for name, parts in pending.parts.items():
            wide[name] = []
            for part, first in zip(parts, self._firsts(pending.rows), strict=True):
                end = min(first + self.layout.rows_per_chunk, self.n_rows)
                with self._reading(_place(name, slice(first, end))):
                    wide[name].append(part.result())
                    if first == 0:
                        _check_same(file[name][:end], wide[name][0])
        return ReadBatch(pending.rows, pending.regions, wide, pending.numbers, pending.chunks)


@dataclass(frozen=True)
class ReadBatch:
    """Some rows of a score file.

    Attributes
    ----------
    rows : slice
        The places of the rows in the file.
    regions : list of Region, [N]
    wide : dict of str to list of arrays [n, 4, L]
        Values of the wide datasets that were read, chunk by chunk.
    numbers : dict of str to array [N, ...]
    chunks : dict of str to list of bytes
        The compressed chunks of the wide datasets as stored.
    """

    rows: slice
    regions: list[Region]
    wide: dict[str, list[npt.NDArray[Any]]]
    numbers: dict[str, npt.NDArray[Any]]
    chunks: dict[str, list[bytes]]

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return the values [N, 4, L] of one wide dataset."""
        return np.concatenate(self.wide[name])


@dataclass(frozen=True)
class _Pending:
    """A batch whose chunks are being inflated."""

    rows: slice
    regions: list[Region]
    numbers: dict[str, npt.NDArray[Any]]
    chunks: dict[str, list[bytes]]
    parts: dict[str, list[Future[npt.NDArray[Any]]]]


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


def _inflated(
    content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int, digest: OrderedDigest, turn: int
) -> npt.NDArray[Any]:
    values = inflated(content, shape, dtype)[:rows]
    digest.put(turn, values)
    return values


def _stored_chunk(dataset: h5py.Dataset, first: int) -> bytes:
    """Return the content of a chunk by its first row, checked since the index of the file may be damaged."""
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


def _check_same(by_hdf5: npt.NDArray[Any], by_us: npt.NDArray[Any]) -> None:
    """Check that HDF5 reads the same values, which also depend on the filters' parameters in the file."""
    if by_hdf5.tobytes() != by_us.tobytes():
        raise DamagedChunkError("HDF5 reads other values than are stored")


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


def _n_references(file: h5py.File) -> int:
    references = structure.dataset(file, REFERENCE_OUTPUT)
    if references.ndim != 2:
        raise LayoutError(f"{REFERENCE_OUTPUT} has another shape")
    return int(references.shape[1])


def _place(name: str, rows: slice) -> str:
    return f"{name}, rows {rows.start + 1} to {rows.stop}"


def read_regions(file: h5py.File, rows: slice) -> list[Region]:
    """Return the windows of some rows of a score file."""
    return regions_of({key: file[f"regions/{key}"][rows] for key in REGION_KEYS})


def regions_of(columns: dict[str, npt.NDArray[Any]]) -> list[Region]:
    """Return windows from the columns of `regions/`, in which texts are bytes, as HDF5 returns them."""
    plain = {
        key: [text.decode("utf-8", "surrogateescape") for text in values] if key in TEXTS else values.tolist()
        for key, values in columns.items()
    }
    ordered = (plain[key] for key in Region.__slots__)
    return [Region(*fields) for fields in zip(*ordered, strict=True)]


# ---- parsers of attributes; a ValueError says that the value is not valid


def _anything(value: Any) -> Any:
    if value is None:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _texts(value: Any) -> str | list[str]:
    """Return a text, or a list of texts from JSON."""
    text = _text(value)
    if not text.startswith("["):
        return text
    found = json.loads(text)
    return [_text(item) for item in found]


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _real_or_none(value: Any) -> float | None:
    return None if value == "null" else _real(value)


def _shard(value: Any) -> str | None:
    text = _text(value)
    if text == "auto":
        raise ValueError
    return None if text == "null" else str(parse_shard(text))


def _fingerprint(value: Any) -> dict[str, Any]:
    found = json.loads(_text(value))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError
    return found
