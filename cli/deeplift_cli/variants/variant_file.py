"""Writer of the HDF5 file of variants: a group for each allele, and the differences between the alleles.

The groups ``ref`` and ``alt`` (and ``alt_left`` with ``--indel-fill both``) have the layout of a score file,
attributes included, so that a group that is copied to a file of its own is a score file.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs import chromosomes
from deeplift_cli.outputs.attributes import write_attributes
from deeplift_cli.outputs.columns import ArrayColumn, Column, TextColumn
from deeplift_cli.outputs.datasets import ROW_CHUNK, VARIANTS_FORMAT, DatasetKind, ScoreLayout
from deeplift_cli.outputs.growing_file import GrowingFile
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.score_columns import ScoreColumns
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


class VariantFile(GrowingFile):
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
        super().__init__(path)
        self._temporary = temporary
        self._layout = layout
        self._kinds = numbers.kinds
        self._names = groups
        self._attrs = attrs
        self._chrom_sizes = chrom_sizes

    def _begin(self, stack: ExitStack) -> Path:
        return self._temporary

    def _create(self, file: h5py.File, pool: Executor) -> Sequence[Column]:
        write_attributes(file, self._attrs, VARIANTS_FORMAT, FORMAT_VERSION)
        self._pool = pool
        self._groups = {name: self._group(file, name) for name in self._names}
        self._numbers = {
            name: ArrayColumn(kind.create(file, name), pool) for name, kind in self._kinds.items()
        }
        text = DatasetKind(ROW_CHUNK, (), None)
        self._texts = {name: TextColumn(text.create(file, f"variants/{name}")) for name in _TEXTS}
        return [*self._groups.values(), *self._numbers.values(), *self._texts.values()]

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
