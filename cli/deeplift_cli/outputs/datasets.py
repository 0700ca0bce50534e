"""The datasets of a score file: names, types and shapes, layout version 1."""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import h5py
import numpy as np

from deeplift_cli.outputs.columns import FILTERS

FORMAT = "deeplift-scores"
VARIANTS_FORMAT = "deeplift-variants"  # of files with a group for each allele
FORMAT_VERSION = 1
WIDE = ("raw/seq", "shap/seq", "projected_shap/seq")
# Each dataset of numbers, and the attribute of `ScoredBatch` with its values.
NUMBERS = {
    "qc/prediction": "prediction",
    "qc/output": "output",
    "qc/reference_output": "reference_output",
    "qc/completeness_error": "completeness_error",
    "qc/identical_references": "identical_references",
    "qc/rescored": "rescored",
    "qc/standard_error": "standard_error",
    "standard_error/seq": "position_standard_error",
    "fold_sd/seq": "fold_sd",
    "qc/reference_correction": "reference_correction",
    "ism/seq": "mutant_differences",
}
RESCORED, STANDARD_ERROR, STANDARD_ERRORS = "qc/rescored", "qc/standard_error", "standard_error/seq"
FOLD_SD, REFERENCE_CORRECTION = "fold_sd/seq", "qc/reference_correction"
MUTANTS = "ism/seq"
REFERENCE_OUTPUT, COMPLETENESS = "qc/reference_output", "qc/completeness_error"
IDENTICAL = "qc/identical_references"
# In-silico mutagenesis takes no references, so that a file with `MUTANTS` has none of these datasets.
_OF_REFERENCES = (
    REFERENCE_OUTPUT, COMPLETENESS, IDENTICAL, RESCORED, STANDARD_ERROR, STANDARD_ERRORS,
    REFERENCE_CORRECTION,
)  # fmt: skip
# Datasets that a file may lack: one reference has no standard error, one model has no spread between folds,
# some datasets are written on request only, and files of earlier versions have none of these datasets.
OPTIONAL = (RESCORED, STANDARD_ERROR, STANDARD_ERRORS, FOLD_SD, REFERENCE_CORRECTION, MUTANTS)
REGION_KEYS = ("chrom", "start", "end", "name", "strand", "index")
TEXTS = ("chrom", "name", "strand")
_CHUNK_BYTES = 512 * 1024  # less than HDF5's chunk cache of 1 MiB, so that readers unpack a chunk once
ROW_CHUNK = 1024


def numbers_with(optional: Collection[str]) -> list[str]:
    """Return the datasets of numbers, in order, of a file that has these ones of `OPTIONAL`."""
    absent = {name for name in OPTIONAL if name not in optional}
    if MUTANTS in optional:
        absent |= {*_OF_REFERENCES}
    return [name for name in NUMBERS if name not in absent]


@dataclass(frozen=True)
class ScoreLayout:
    """The layout of a score file of N sequences of length L with R references, in batches of K rows.

    Attributes
    ----------
    length : int
        L.
    n_references : int
        R; 0 for in-silico mutagenesis.
    batch_size : int
        K. A batch fills whole chunks of the wide datasets, so that the chunks of a batch can be compressed
        and saved before the score file is begun, and copied into the score file unchanged.
    dtype : str
        The type of the scores: "float32" or "float16".
    optional : frozenset of str
        The datasets of `OPTIONAL` that the file has.
    """

    length: int
    n_references: int
    batch_size: int
    dtype: str = "float32"
    optional: frozenset[str] = frozenset()

    @classmethod
    def of_run(
        cls,
        length: int,
        n_references: int,
        batch_size: int,
        dtype: str,
        *,
        standard_errors: bool,
        fold_sd: bool,
        control_variate: bool,
    ) -> Self:
        """Return the layout of a run's files.

        Parameters
        ----------
        length, n_references, batch_size : int
        dtype : str
        standard_errors : bool
            True if the file gets the standard error of each position; one reference has no standard error.
        fold_sd : bool
            True if the file gets the spread between the folds of a cross-validation.
        control_variate : bool
            True if the mean over references is corrected by a control variate.
        """
        optional = {RESCORED if n_references else MUTANTS} | ({FOLD_SD} if fold_sd else set())
        if control_variate:
            optional |= {REFERENCE_CORRECTION}
        if n_references > 1:
            optional |= {STANDARD_ERROR, STANDARD_ERRORS} if standard_errors else {STANDARD_ERROR}
        return cls(length, n_references, batch_size, dtype, frozenset(optional))

    @property
    def has_references(self) -> bool:
        """The result is False for in-silico mutagenesis, which compares sequences with their mutants."""
        return MUTANTS not in self.optional

    @property
    def rows_per_chunk(self) -> int:
        """Rows in a chunk of the wide datasets: the largest divisor of K that keeps to `_CHUNK_BYTES`."""
        most = max(1, _CHUNK_BYTES // (4 * self.length * np.dtype(self.dtype).itemsize))
        return max(rows for rows in range(1, min(most, self.batch_size) + 1) if self.batch_size % rows == 0)

    @property
    def wide(self) -> dict[str, np.dtype[Any]]:
        """The types of the datasets [N, 4, L], by name."""
        return dict(zip(WIDE, map(np.dtype, ("int8", self.dtype, self.dtype)), strict=True))

    @property
    def numbers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """The shapes without N, and the types, of the other datasets of numbers, by name."""
        each = (self.n_references,)
        along = (self.length,)
        real, count = np.dtype("float64"), np.dtype("int32")
        kinds: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...] = (
            ((), real), ((), real), (each, real), (each, real), ((), count), ((), count), ((), real),
            (along, np.dtype("float32")), (along, np.dtype("float32")), ((), real),
            ((4, *along), np.dtype("float32")),
        )  # fmt: skip
        every = dict(zip(NUMBERS, kinds, strict=True))
        return {name: every[name] for name in numbers_with(self.optional)}

    @property
    def datasets(self) -> dict[str, "DatasetKind"]:
        """All datasets, in the order in which they are made."""
        rows = self.rows_per_chunk
        kinds = {name: DatasetKind(rows, (4, self.length), kind) for name, kind in self.wide.items()}
        for key in REGION_KEYS:
            kinds[f"regions/{key}"] = DatasetKind(ROW_CHUNK, (), None if key in TEXTS else np.dtype("int64"))
        for name, (rest, kind) in self.numbers.items():
            rows = max(1, min(ROW_CHUNK, _CHUNK_BYTES // (prod(rest) * kind.itemsize)))
            kinds[name] = DatasetKind(rows, rest, kind)
        return kinds

    def create(self, file: h5py.Group) -> dict[str, h5py.Dataset]:
        """Make empty datasets that grow along their first axis, with filters that every reader has."""
        return {name: kind.create(file, name) for name, kind in self.datasets.items()}


@dataclass(frozen=True)
class DatasetKind:
    """The shape, type and chunks of one dataset.

    Attributes
    ----------
    chunk_rows : int
    rest : tuple of int
        The shape without N.
    dtype : numpy dtype, or None
        The type; None for texts.
    """

    chunk_rows: int
    rest: tuple[int, ...]
    dtype: np.dtype[Any] | None

    def create(self, file: h5py.Group, name: str) -> h5py.Dataset:
        """Make the dataset without any row."""
        return file.create_dataset(
            name,
            shape=(0, *self.rest),
            maxshape=(None, *self.rest),
            chunks=(self.chunk_rows, *self.rest),
            dtype=h5py.string_dtype("utf-8") if self.dtype is None else self.dtype,
            **({} if self.dtype is None else FILTERS),
        )
