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
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch, pack
from deeplift_cli.outputs.score_columns import ScoreColumns

FORMAT_VERSION = 1
REF, ALT, ALT_LEFT = "ref", "alt", "alt_left"
# What `variants/` holds of the VCF: names of datasets, and of the fields of `Variant` but for the position.
OF_VCF = ("chrom", "pos", "id", "ref", "alt")
# The effects of the background variants, which are no property of the variants and have rows of their own.
BACKGROUND = "background/effect"
MOTIF_TEXTS = ("variants/motif", "variants/motif_change")
MOTIF_NUMBERS = ("variants/motif_ref_score", "variants/motif_alt_score")
MODELS, ERROR = "variants/effect_of_models", "difference/standard_error"
_CHUNK_BYTES = 512 * 1024


@dataclass(frozen=True)
class VariantRows:
    """What the file holds of N variants.

    Attributes
    ----------
    alleles : mapping of str to PackedBatch
        The scores of each allele, by group.
    numbers : dict of str to array [N, ...]
        The datasets of numbers beside these groups, by name.
    texts : dict of str to list of str, [N]
        The datasets of texts, by name.
    """

    alleles: Mapping[str, PackedBatch]
    numbers: dict[str, npt.NDArray[Any]]
    texts: dict[str, list[str]]


@dataclass(frozen=True)
class VariantLayout:
    """The datasets of a file of variants.

    Attributes
    ----------
    scores : ScoreLayout
        The layout of each allele's group.
    groups : tuple of str
        The groups of the alleles.
    n_models : int
        The number of models.
    errors : bool
        True if there are standard errors: for more than one reference.
    background : bool
        True if the file holds the effects of background variants.
    motifs : bool
        True if the file says which motifs the variants make or break.
    """

    scores: ScoreLayout
    groups: tuple[str, ...]
    n_models: int
    errors: bool
    background: bool
    motifs: bool

    @property
    def numbers(self) -> dict[str, DatasetKind]:
        """The datasets of numbers beside the groups, by name, but for `BACKGROUND`."""
        real, along = np.dtype("float64"), (self.scores.length,)
        kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "variants/pos": ((), np.dtype("int64")),
            "variants/effect": ((), real),
            "difference/seq": (along, np.dtype("float32")),
            "difference/allele": ((), real),
            "difference/nearby": ((), real),
        }
        if self.n_models > 1:
            kinds[MODELS] = ((self.n_models,), real)
        if self.errors:
            kinds[ERROR] = (along, np.dtype("float32"))
            kinds["difference/allele_standard_error"] = ((), real)
            kinds["difference/nearby_standard_error"] = ((), real)
        if self.motifs:
            kinds |= dict.fromkeys(MOTIF_NUMBERS, ((), real))
        return {name: _kind(rest, kind) for name, (rest, kind) in kinds.items()}

    @property
    def texts(self) -> dict[str, DatasetKind]:
        """The datasets of texts, by name."""
        names = [f"variants/{name}" for name in OF_VCF if name != "pos"]
        names += MOTIF_TEXTS if self.motifs else ()
        return dict.fromkeys(names, DatasetKind(ROW_CHUNK, (), None))

    def no_rows(self) -> VariantRows:
        """Return what a file without any variant holds."""
        none = {name: np.empty((0, *rest), kind) for name, (rest, kind) in self.scores.numbers.items()}
        return VariantRows(
            {name: PackedBatch([], {}, none) for name in self.groups},
            {name: np.empty((0, *kind.rest), kind.dtype) for name, kind in self.numbers.items()},
            {name: [] for name in self.texts},
        )


BACKGROUND_KIND = DatasetKind(ROW_CHUNK, (), np.dtype("float64"))


def _kind(rest: tuple[int, ...], kind: np.dtype[Any]) -> DatasetKind:
    return DatasetKind(max(1, min(ROW_CHUNK, _CHUNK_BYTES // (prod(rest) * kind.itemsize))), rest, kind)


class VariantFile(GrowingFile):
    """Writes batches of variants; a context manager.

    Parameters
    ----------
    temporary : Path
        The file to write, which does not exist.
    path : Path
        The final name, for messages.
    layout : VariantLayout
    attrs : mapping of str to anything that JSON can hold
        Attributes of the file and of each group.
    chrom_sizes : mapping of str to int
        Lengths of the genome's chromosomes in bp, which each group gets.

    Attributes
    ----------
    n_rows : int
        The number of variants so far.

    Raises
    ------
    UserError
        If the disc is full.
    """

    def __init__(
        self,
        temporary: Path,
        path: Path,
        layout: VariantLayout,
        attrs: Mapping[str, Any],
        chrom_sizes: Mapping[str, int],
    ) -> None:
        super().__init__(path)
        self.n_rows = 0
        self._temporary = temporary
        self._layout = layout
        self._attrs = attrs
        self._chrom_sizes = chrom_sizes

    def _begin(self, stack: ExitStack) -> Path:
        return self._temporary

    def _create(self, file: h5py.File, pool: Executor) -> Sequence[Column]:
        layout = self._layout
        write_attributes(file, self._attrs, VARIANTS_FORMAT, FORMAT_VERSION)
        self._pool = pool
        self._groups = {name: self._group(file, name) for name in layout.groups}
        self._numbers = {
            name: ArrayColumn(kind.create(file, name), pool) for name, kind in layout.numbers.items()
        }
        self._texts = {name: TextColumn(kind.create(file, name)) for name, kind in layout.texts.items()}
        columns: list[Column] = [*self._groups.values(), *self._numbers.values(), *self._texts.values()]
        if layout.background:
            self._background = ArrayColumn(BACKGROUND_KIND.create(file, BACKGROUND), pool)
            columns.append(self._background)
        return columns

    def _group(self, file: h5py.File, name: str) -> ScoreColumns:
        group = file.create_group(name)
        write_attributes(group, self._attrs)
        chromosomes.write(group, self._chrom_sizes, self._pool)
        return ScoreColumns(group, self._layout.scores, self._pool, {})

    def packed(self, batch: ScoredBatch) -> PackedBatch:
        """Compress the scores of an allele, on the threads of this file."""
        return pack(batch, self._layout.scores, self._pool)

    def append(self, rows: VariantRows) -> None:
        """Add variants.

        Raises
        ------
        UserError
            If the disc is full.
        """
        for name, group in self._groups.items():
            group.append(rows.alleles[name])
        for name, numbers in self._numbers.items():
            numbers.append(rows.numbers[name])
        for name, texts in self._texts.items():
            texts.append(rows.texts[name])
        self.n_rows += len(rows.numbers["variants/pos"])
        self._raise_error()

    def append_background(self, effects: npt.NDArray[Any]) -> None:
        """Add the effects [n] of background variants.

        Raises
        ------
        UserError
            If the disc is full.
        """
        self._background.append(effects)
        self._raise_error()
