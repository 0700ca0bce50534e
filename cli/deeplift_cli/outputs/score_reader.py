"""Score files as they are read again, batch by batch."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.layout import FORMAT, FORMAT_VERSION, WIDE, ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch
from deeplift_cli.sequences.records import Region

Batch = TypeVar("Batch")


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
    chunk_rows : int
        Of the wide datasets, as the file has them.
    attrs : dict
        Attributes as they are stored.
    shard : str or None
        "2/4"; None for a whole job.
    fingerprint : dict
        What its scores depend on.

    Raises
    ------
    UserError
        If it is not a score file; when it is read, if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self.attrs = {
                key: value.item() if isinstance(value, np.generic) else value
                for key, value in file.attrs.items()
            }
            if (self.attrs.get("format"), self.attrs.get("format_version")) != (FORMAT, FORMAT_VERSION):
                raise UserError(f"{path} is not a score file of version {FORMAT_VERSION} (deeplift score)")
            try:
                self._read_head(file)
            except (KeyError, ValueError) as error:
                raise UserError(f"score file {path} is damaged: {error}") from error

    def _read_head(self, file: h5py.File) -> None:
        scores, qc = file["shap/seq"], file["qc/reference_output"]
        self.n_rows, self.chunk_rows = int(scores.shape[0]), int(scores.chunks[0])
        self.layout = ScoreLayout(
            int(scores.shape[2]), int(qc.shape[1]), int(self.attrs["batch_size"]), str(scores.dtype)
        )
        shard = self.attrs["shard"]
        self.shard: str | None = None if shard == "null" else str(shard)
        self.fingerprint: dict[str, Any] = json.loads(self.attrs["fingerprint"]) or {}

    def _opened(self) -> h5py.File:
        if not self.path.is_file():
            raise UserError(f"score file {self.path} does not exist")
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            if error.errno:
                raise UserError(f"score file {self.path}: {os.strerror(error.errno)}") from error
            raise UserError(f"score file {self.path} is not an HDF5 file, or damaged") from error

    def packed(self) -> Iterator[PackedBatch]:
        """Batches of K rows, their chunks as they are stored."""
        return self._batches(self._packed)

    def unpacked(self) -> Iterator[ScoredBatch]:
        """Batches of K rows."""
        return self._batches(self._unpacked)

    def _batches(self, read: Callable[[h5py.File, slice], Batch]) -> Iterator[Batch]:
        step = self.layout.batch_size
        with self._opened() as file:
            for first in range(0, self.n_rows, step):
                rows = slice(first, min(first + step, self.n_rows))
                try:
                    yield read(file, rows)
                except (OSError, KeyError) as error:
                    where = f"rows {rows.start} to {rows.stop}"
                    raise UserError(f"score file {self.path} is damaged at {where}") from error

    def _packed(self, file: h5py.File, rows: slice) -> PackedBatch:
        numbers = {name: file[name][rows] for name in self.layout.numbers}
        chunks = {name: self._chunks(file[name], rows) for name in WIDE}
        return PackedBatch(read_regions(file, rows), chunks, numbers)

    def _chunks(self, dataset: h5py.Dataset, rows: slice) -> list[bytes]:
        firsts = range(rows.start, rows.stop, self.layout.rows_per_chunk)
        return [bytes(dataset.id.read_direct_chunk((first, 0, 0))[1]) for first in firsts]

    def _unpacked(self, file: h5py.File, rows: slice) -> ScoredBatch:
        numbers = [file[name][rows] for name in self.layout.numbers]
        wide = (file[name][rows] for name in WIDE[:2])
        return ScoredBatch(read_regions(file, rows), *wide, *numbers)


def read_regions(file: h5py.File, rows: slice) -> list[Region]:
    """The windows of some rows of a score file."""
    text = [file[f"regions/{key}"].asstr()[rows] for key in ("chrom", "name", "strand")]
    numbers = [file[f"regions/{key}"][rows].tolist() for key in ("start", "end", "index")]
    return [
        Region(chrom, start, end, name, strand, index)
        for chrom, name, strand, start, end, index in zip(*text, *numbers, strict=True)
    ]
