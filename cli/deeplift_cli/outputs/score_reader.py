"""Score files as they are read again, batch by batch."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.layout import FORMAT, FORMAT_VERSION, WIDE, ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch
from deeplift_cli.sequences.records import Region


class ScoreReader:
    """A finished score file; a context manager.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    n_rows : int
    layout : ScoreLayout
    attrs : dict
        Attributes; those that were written as JSON are parsed.

    Raises
    ------
    UserError
        On entry, if it is not a score file; later, if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        if not self.path.is_file():
            raise UserError(f"score file {self.path} does not exist")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise UserError(f"score file {self.path} is not an HDF5 file, or damaged") from error
        self.attrs = {key: _parsed(value) for key, value in self._file.attrs.items()}
        if (self.attrs.get("format"), self.attrs.get("format_version")) != (FORMAT, FORMAT_VERSION):
            self._file.close()
            raise UserError(f"{self.path} is not a score file of version {FORMAT_VERSION} (deeplift score)")
        scores, qc = self._file["shap/seq"], self._file["qc/reference_output"]
        self.n_rows = int(scores.shape[0])
        self.layout = ScoreLayout(
            int(scores.shape[2]), int(qc.shape[1]), int(self.attrs["batch_size"]), str(scores.dtype)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def packed(self) -> Iterator[PackedBatch]:
        """Batches of K rows, their chunks as they are stored."""
        return (self._read(rows, self._packed) for rows in self._batches())

    def unpacked(self) -> Iterator[ScoredBatch]:
        """Batches of K rows."""
        return (self._read(rows, self._unpacked) for rows in self._batches())

    def _batches(self) -> Iterator[slice]:
        rows = self.layout.batch_size
        return (slice(first, min(first + rows, self.n_rows)) for first in range(0, self.n_rows, rows))

    def _read(self, rows: slice, read: Any) -> Any:
        try:
            return read(rows)
        except (OSError, KeyError) as error:
            raise UserError(
                f"score file {self.path} is damaged at rows {rows.start} to {rows.stop}"
            ) from error

    def _packed(self, rows: slice) -> PackedBatch:
        numbers = {name: self._file[name][rows] for name in self.layout.numbers}
        chunks = {name: self._chunks(self._file[name], rows) for name in WIDE}
        return PackedBatch(self._regions(rows), chunks, numbers)

    def _chunks(self, dataset: h5py.Dataset, rows: slice) -> list[bytes]:
        firsts = range(rows.start, rows.stop, self.layout.rows_per_chunk)
        return [bytes(dataset.id.read_direct_chunk((first, 0, 0))[1]) for first in firsts]

    def _unpacked(self, rows: slice) -> ScoredBatch:
        numbers = [self._file[name][rows] for name in self.layout.numbers]
        wide = (self._file[name][rows] for name in WIDE[:2])
        return ScoredBatch(self._regions(rows), *wide, *numbers)

    def _regions(self, rows: slice) -> list[Region]:
        text = [self._file[f"regions/{key}"].asstr()[rows] for key in ("chrom", "name", "strand")]
        numbers = [self._file[f"regions/{key}"][rows].tolist() for key in ("start", "end", "index")]
        return [
            Region(chrom, start, end, name, strand, index)
            for chrom, name, strand, start, end, index in zip(*text, *numbers, strict=True)
        ]

    @property
    def chunk_rows(self) -> int:
        """Of the wide datasets, as the file has them."""
        return int(self._file["shap/seq"].chunks[0])


def _parsed(value: Any) -> Any:
    """An attribute; mappings, lists and None were written as JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if (isinstance(value, str) and value[:1] in ("{", "[")) or value == "null":
        return json.loads(value)
    return value
