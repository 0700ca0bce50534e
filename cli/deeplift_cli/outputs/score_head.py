"""What a score file says about itself, its attributes and its layout, checked when the file is opened."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.options.numbers import LARGEST_BATCH
from deeplift_cli.outputs import attribute_values, chromosomes, structure
from deeplift_cli.outputs.attributes import AttributeTypeError, read_attributes
from deeplift_cli.outputs.checksums import ATTRIBUTES_CHECKSUM, CHECKSUM, attributes_digest
from deeplift_cli.outputs.columns import DamagedChunkError
from deeplift_cli.outputs.datasets import (
    FORMAT,
    FORMAT_VERSION,
    MUTANTS,
    OPTIONAL,
    REFERENCE_OUTPUT,
    VARIANTS_FORMAT,
    ScoreLayout,
)
from deeplift_cli.outputs.structure import LayoutError

T = TypeVar("T")


class ScoreHead:
    """Attributes and layout of a finished score file, which is open only while something is read.

    Parameters
    ----------
    path : Path
    group : str, optional
        The group of a file of variants that is read as a score file; by default the file itself is one.

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
        If the file is not a score file, or its attributes or its layout are damaged.
    """

    def __init__(self, path: Path, group: str | None = None) -> None:
        self.path = path
        self._group = group
        with self.scores() as file:
            with self.reading("its attributes"):
                self.attrs = read_attributes(file)
            if self.attrs.get("format") == VARIANTS_FORMAT:
                raise UserError(
                    f"{path} holds variants (deeplift variants): its groups ref and alt are score files; "
                    "docs/variants.md shows how to copy a group to a file of its own"
                )
            if (self.attrs.get("format"), self.attrs.get("format_version")) != (FORMAT, FORMAT_VERSION):
                raise UserError(f"{path} is not a score file of version {FORMAT_VERSION} (deeplift score)")
            self._read_attributes()
            with self.reading("its layout"):
                self._read_layout(file)
        if bool(self.checksums) != (ATTRIBUTES_CHECKSUM in self.attrs):
            raise self.damaged(f"{ATTRIBUTES_CHECKSUM} or the checksums of datasets are missing")
        if self.checksums and self.attrs.pop(ATTRIBUTES_CHECKSUM) != attributes_digest(self.attrs):
            raise self.damaged("its attributes: they are not those of the stored checksum")

    def _read_attributes(self) -> None:
        self.shard = self._attribute("shard", attribute_values.shard)
        self.fingerprint: dict[str, Any] = self._attribute("fingerprint", attribute_values.fingerprint)
        self.model = self._attribute("model_sha256", attribute_values.texts)
        self.n_skipped = self._attribute("n_skipped", attribute_values.count)
        self.worst = self._attribute("worst_relative_completeness_error", attribute_values.real_or_none)
        self.target = self._attribute("target", attribute_values.anything)
        self._batch_size = self._attribute("batch_size", attribute_values.count)
        if not 1 <= self._batch_size <= LARGEST_BATCH:
            raise self.damaged(f"attribute batch_size is {self._batch_size}")

    def _attribute(self, name: str, parse: Callable[[Any], T]) -> T:
        try:
            return parse(self.attrs.get(name))
        except ValueError as error:
            shown = "missing" if name not in self.attrs else f"{self.attrs[name]!r:.40}"
            raise self.damaged(f"attribute {name} is {shown}") from error

    def _read_layout(self, file: h5py.Group) -> None:
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

    def open(self) -> h5py.File:
        """Return the file, opened until the caller closes it.

        Raises
        ------
        UserError
            If the file cannot be opened.
        """
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
    def scores(self) -> Iterator[h5py.Group]:
        """Open the file, and yield the group with the scores."""
        with self.open() as file:
            if self._group is None:
                yield file
                return
            with self.reading("its groups"):
                found = structure.group(file, self._group)
            yield found

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turn exceptions of HDF5 and h5py, which can have any type at a damaged file, into one line."""
        try:
            yield
        except UserError:
            raise
        except (LayoutError, AttributeTypeError, DamagedChunkError) as error:
            raise self.damaged(f"{what}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise self.damaged(f"{what}: {detail}") from error

    def damaged(self, what: str) -> UserError:
        """Return the error for a damaged file; `what` says which part is damaged, and how."""
        shard = getattr(self, "shard", None)
        remedy = f"score shard {shard} again" if shard else "score it again, or take another copy"
        where = "" if self._group is None else f" (group {self._group})"
        return UserError(f"score file {self.path}{where} is damaged, {what}; {remedy}")


def _n_references(file: h5py.Group) -> int:
    references = structure.dataset(file, REFERENCE_OUTPUT)
    if references.ndim != 2:
        raise LayoutError(f"{REFERENCE_OUTPUT} has another shape")
    return int(references.shape[1])
