"""SCORES.h5, layout version 1, with SCORES.bed and SCORES.skipped.tsv beside it."""

import json
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import FILTERS, ArrayColumn, Column, TextColumn, compressing_threads
from deeplift_cli.outputs.guarded_file import GuardedFile
from deeplift_cli.outputs.narrowpeak import NarrowPeakFile
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.sequences.records import Region, Skipped

FORMAT = "deeplift-scores"
FORMAT_VERSION = 1
_CHUNK_BYTES = 512 * 1024  # below HDF5's chunk cache of 1 MiB, so that readers unpack a chunk once
_ROW_CHUNK = 1024
_BATCHES_AHEAD = 2


@dataclass
class ScoredBatch:
    """Scores of N sequences of length L against R references.

    Parameters
    ----------
    regions : list of Region, [N]
        Where they are.
    sequences : ndarray of int8, [N, 4, L]
        One-hot, ACGT; all zero where there is no base.
    hypothetical : ndarray of float32, [N, 4, L]
        Hypothetical contributions.
    prediction, output : ndarray, [N]
        The model's own prediction, and the explained scalar.
    reference_output, completeness_error : ndarray, [N, R]
        The explained scalar at each reference, and by how much the contributions miss the difference.
    identical_references : ndarray of int, [N]
        How many of the references equal the sequence.
    """

    regions: list[Region]
    sequences: npt.NDArray[np.int8]
    hypothetical: npt.NDArray[np.floating[Any]]
    prediction: npt.NDArray[np.floating[Any]]
    output: npt.NDArray[np.floating[Any]]
    reference_output: npt.NDArray[np.floating[Any]]
    completeness_error: npt.NDArray[np.floating[Any]]
    identical_references: npt.NDArray[np.integer[Any]]


def companions(path: Path) -> tuple[Path, Path]:
    """The two files beside a score file: SCORES.bed and SCORES.skipped.tsv."""
    is_hdf5 = path.suffix.lower() in (".h5", ".hdf5", ".hdf")
    stem = path.stem if is_hdf5 else path.name
    return path.with_name(f"{stem}.bed"), path.with_name(f"{stem}.skipped.tsv")


class ScoreFile:
    """Streams scores to HDF5 and its two companions; a context manager.

    The three appear together on a clean exit, the HDF5 last: where it stands, the others beside it are
    complete and belong to it. On an exception nothing appears, and what stood there stays. Writing runs on a
    thread of its own and compression on a few more, at most two batches behind, so arrays must not be changed
    once appended.

    Parameters
    ----------
    path : str or Path
        Where the HDF5 goes.
    length : int
        L.
    n_references : int
        R.
    attrs : mapping of str to anything that JSON can hold
        Written as attributes of the file; lists, mappings and None as JSON.
    overwrite : bool
        Whether files that exist may be replaced.
    dtype : numpy dtype, optional
        Of the scores: float32 or float16.

    Raises
    ------
    UserError
        On entry, see `publish.check_writable`; later, when the disc is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        length: int,
        n_references: int,
        attrs: Mapping[str, Any],
        overwrite: bool,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.path = Path(path)
        self.n_rows = 0
        self._length = length
        self._n_references = n_references
        self._attrs = dict(attrs)
        self._overwrite = overwrite
        self._dtype = np.dtype(dtype)
        self._stack = ExitStack()
        self._pending = deque[Future[None]]()

    def __enter__(self) -> Self:
        bed, skipped = companions(self.path)
        check_writable([self.path, bed, skipped], self._overwrite)
        with ExitStack() as stack:
            publication = stack.enter_context(Publication())
            self._bed = stack.enter_context(NarrowPeakFile(publication.temporary(bed)))
            self._skipped = stack.enter_context(SkippedFile(publication.temporary(skipped)))
            self._guarded = stack.enter_context(GuardedFile(publication.temporary(self.path)))
            stack.push(self._check)
            self._file = stack.enter_context(h5py.File(self._guarded, "w"))
            datasets = _create_datasets(self._file, self._length, self._n_references, self._dtype)
            self.set_attrs(self._attrs | {"format": FORMAT, "format_version": FORMAT_VERSION})
            pool = stack.enter_context(compressing_threads())
            self._columns = {name: _column(dataset, pool) for name, dataset in datasets.items()}
            self._thread = stack.enter_context(ThreadPoolExecutor(1, "deeplift-writer"))
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def append(self, batch: ScoredBatch) -> None:
        """Add rows.

        Raises
        ------
        ValueError
            When an array's shape does not fit the file.
        """
        self._check_shapes(batch)
        self._wait(until=_BATCHES_AHEAD - 1)
        self._pending.append(self._thread.submit(self._write, batch))
        self.n_rows += len(batch.regions)

    def skip(self, skipped: Skipped) -> None:
        """Add a line to SCORES.skipped.tsv."""
        self._skipped.append(skipped)

    def set_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Add or replace attributes, for what is known at the end only."""
        self._wait()
        for key, value in attrs.items():
            self._file.attrs[key] = _attribute(value)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise _not_written(self.path, failure) from failure

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """On leaving: write what is pending, or drop it where the file is going to be dropped."""
        if kind is None:
            self._pending.append(self._thread.submit(self._write_rest))
            self._wait()
        for future in self._pending:
            future.cancel()

    def _check(self, kind: type[BaseException] | None, *_: object) -> None:
        """After HDF5 has closed its file: find out whether all of it was written."""
        if kind is None:
            self._guarded.raise_error()

    def _wait(self, until: int = 0) -> None:
        """Wait until so many batches are pending, and raise what went wrong with the others."""
        while len(self._pending) > until:
            try:
                self._pending.popleft().result()
            except OSError as error:
                raise _not_written(self.path, error) from error

    def _check_shapes(self, batch: ScoredBatch) -> None:
        n, length, references = len(batch.regions), self._length, self._n_references
        expected = {
            "sequences": (n, 4, length),
            "hypothetical": (n, 4, length),
            "prediction": (n,),
            "output": (n,),
            "reference_output": (n, references),
            "completeness_error": (n, references),
            "identical_references": (n,),
        }
        for name, shape in expected.items():
            if getattr(batch, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(batch, name).shape}, not {shape}")

    def _write(self, batch: ScoredBatch) -> None:
        observed = np.where(batch.sequences != 0, batch.hypothetical, 0)
        for name, values in {
            "raw/seq": batch.sequences,
            "shap/seq": batch.hypothetical,
            "projected_shap/seq": observed,
            "qc/prediction": batch.prediction,
            "qc/output": batch.output,
            "qc/reference_output": batch.reference_output,
            "qc/completeness_error": batch.completeness_error,
            "qc/identical_references": batch.identical_references,
        }.items():
            self._columns[name].append(values)
        for key in ("chrom", "start", "end", "name", "strand", "index"):
            self._columns[f"regions/{key}"].append([getattr(region, key) for region in batch.regions])
        self._guarded.raise_error()
        self._bed.append(batch.regions, batch.output.tolist())

    def _write_rest(self) -> None:
        for column in self._columns.values():
            column.finish()
        self._guarded.raise_error()


def _not_written(path: Path, error: OSError) -> UserError:
    reason = os.strerror(error.errno) if error.errno else error  # h5py's own text runs over several lines
    return UserError(f"output {path} cannot be written: {reason}")


def _create_datasets(
    file: h5py.File, length: int, n_references: int, dtype: np.dtype[Any]
) -> dict[str, h5py.Dataset]:
    """Empty datasets that grow along their first axis; the filters are those that every reader has."""
    rows_per_chunk = int(np.clip(_CHUNK_BYTES // (4 * length * dtype.itemsize), 1, _ROW_CHUNK))
    text = h5py.string_dtype("utf-8")
    wide = {"raw/seq": np.int8, "shap/seq": dtype, "projected_shap/seq": dtype}
    narrow = {
        "regions/chrom": ((), text),
        "regions/start": ((), np.int64),
        "regions/end": ((), np.int64),
        "regions/name": ((), text),
        "regions/strand": ((), text),
        "regions/index": ((), np.int64),
        "qc/prediction": ((), np.float64),
        "qc/output": ((), np.float64),
        "qc/reference_output": ((n_references,), np.float64),
        "qc/completeness_error": ((n_references,), np.float64),
        "qc/identical_references": ((), np.int32),
    }

    def create(name: str, rows: int, rest: tuple[int, ...], kind: Any) -> h5py.Dataset:
        filters = {} if kind is text else FILTERS
        return file.create_dataset(
            name, shape=(0, *rest), maxshape=(None, *rest), chunks=(rows, *rest), dtype=kind, **filters
        )

    datasets = {name: create(name, rows_per_chunk, (4, length), kind) for name, kind in wide.items()}
    return datasets | {name: create(name, _ROW_CHUNK, rest, kind) for name, (rest, kind) in narrow.items()}


def _column(dataset: h5py.Dataset, pool: Executor) -> Column:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    return TextColumn(dataset) if is_text else ArrayColumn(dataset, pool)


def _attribute(value: Any) -> Any:
    """What HDF5 and h5dump show plainly stays as it is; the rest becomes JSON."""
    if isinstance(value, str | bool | int | float | np.generic):
        return value
    if isinstance(value, Path):
        return str(value)
    return json.dumps(value, default=_for_json)


def _for_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"an attribute holds a {type(value).__name__}, which JSON cannot")
