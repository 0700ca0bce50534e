"""Writer of the HDF5 file of variants: a group for each allele, and the differences between the alleles.

The groups ``ref`` and ``alt`` (and ``alt_left`` with ``--indel-fill both``) have the layout of a score file,
attributes included, so that a group that is copied to a file of its own is a score file.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs import chromosomes
from deeplift_cli.outputs.attributes import write_attributes
from deeplift_cli.outputs.columns import ArrayColumn, Column, TextColumn, compressing_threads
from deeplift_cli.outputs.datasets import ROW_CHUNK, VARIANTS_FORMAT, DatasetKind, ScoreLayout
from deeplift_cli.outputs.guarded_file import GuardedFile
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.score_columns import ScoreColumns
from deeplift_cli.outputs.score_file import not_written
from deeplift_cli.variants.vcf import Variant

FORMAT_VERSION = 1
REF, ALT, ALT_LEFT = "ref", "alt", "alt_left"
# What stands in `variants/`, and the field of `Variant` from which it comes.
_TEXTS = {"chrom": "chrom", "id": "id", "ref": "ref", "alt": "alt"}
_CHUNK_BYTES = 512 * 1024


@dataclass(frozen=True)
class Numbers:
    """The shapes of the datasets beside the groups of the alleles.

    Attributes
    ----------
    length, n_models : int
        L, and the number of models.
    errors : bool
        True if there are standard errors: for more than one reference.
    """

    length: int
    n_models: int
    errors: bool

    @property
    def kinds(self) -> dict[str, DatasetKind]:
        """The datasets of numbers by name."""
        real = np.dtype("float64")
        kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "variants/pos": ((), np.dtype("int64")),
            "variants/effect": ((), real),
            "difference/seq": ((self.length,), np.dtype("float32")),
            "difference/allele": ((), real),
            "difference/nearby": ((), real),
        }
        if self.n_models > 1:
            kinds["variants/effect_of_models"] = ((self.n_models,), real)
        if self.errors:
            kinds["difference/standard_error"] = ((self.length,), np.dtype("float32"))
            kinds["difference/allele_standard_error"] = ((), real)
            kinds["difference/nearby_standard_error"] = ((), real)
        return {
            name: DatasetKind(_rows(prod(rest) * kind.itemsize), rest, kind)
            for name, (rest, kind) in kinds.items()
        }


def _rows(row_bytes: int) -> int:
    """Return the number of rows in a chunk."""
    return max(1, min(ROW_CHUNK, _CHUNK_BYTES // row_bytes))


class VariantFile:
    """Writes batches of variants; a context manager.

    Parameters
    ----------
    temporary : Path
        The file to write, which does not exist.
    path : Path
        The final name, for messages.
    layout : ScoreLayout
        The layout of each group.
    numbers : Numbers
    groups : sequence of str
        The names of the groups of the alleles.
    attrs : mapping of str to anything that JSON can hold
        Attributes of the file and of each group.
    chrom_sizes : mapping of str to int
        Lengths of the genome's chromosomes in bp, which each group gets.

    Raises
    ------
    UserError
        If the disc is full.
    """

    def __init__(
        self,
        temporary: Path,
        path: Path,
        layout: ScoreLayout,
        numbers: Numbers,
        groups: Sequence[str],
        attrs: Mapping[str, Any],
        chrom_sizes: Mapping[str, int],
    ) -> None:
        self._temporary = temporary
        self._path = path
        self._layout = layout
        self._kinds = numbers.kinds
        self._names = groups
        self._attrs = attrs
        self._chrom_sizes = chrom_sizes
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._guarded = stack.enter_context(GuardedFile(self._temporary))
            stack.push(self._check)
            file = stack.enter_context(h5py.File(self._guarded, "w"))
            write_attributes(file, self._attrs, VARIANTS_FORMAT, FORMAT_VERSION)
            self._pool = stack.enter_context(compressing_threads())
            self._groups = {name: self._group(file, name) for name in self._names}
            self._numbers = {
                name: ArrayColumn(kind.create(file, name), self._pool) for name, kind in self._kinds.items()
            }
            text = DatasetKind(ROW_CHUNK, (), None)
            self._texts = {name: TextColumn(text.create(file, f"variants/{name}")) for name in _TEXTS}
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def _group(self, file: h5py.File, name: str) -> ScoreColumns:
        group = file.create_group(name)
        write_attributes(group, self._attrs)
        chromosomes.write(group, self._chrom_sizes, self._pool)
        return ScoreColumns(group, self._layout, self._pool, {})

    def append(
        self,
        variants: Sequence[Variant],
        alleles: Mapping[str, ScoredBatch],
        numbers: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        """Add variants with the scores of their alleles by group, and the other datasets by name."""
        for name, batch in alleles.items():
            self._groups[name].append(pack(batch, self._layout, self._pool))
        for name, column in self._numbers.items():
            column.append(numbers[name])
        for name, field in _TEXTS.items():
            self._texts[name].append([getattr(variant, field) for variant in variants])
        self._raise_error()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise not_written(self._path, failure) from failure

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rows that fill no chunk yet; called on exit."""
        if kind is None:
            for group in self._groups.values():
                group.finish()
            columns: list[Column] = [*self._numbers.values(), *self._texts.values()]
            for column in columns:
                column.finish()
            self._raise_error()

    def _check(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise an error if HDF5 could not write the whole file; called after HDF5 has closed the file."""
        if kind is None:
            self._guarded.raise_error()

    def _raise_error(self) -> None:
        try:
            self._guarded.raise_error()
        except OSError as error:
            raise not_written(self._path, error) from error
