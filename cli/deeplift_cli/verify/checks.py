"""Checks of a score file without its model: checksums, layout, values, companion files."""

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import MUTANTS, REFERENCE_CORRECTION
from deeplift_cli.outputs.narrowpeak import narrowpeak_line
from deeplift_cli.outputs.read_batch import ReadBatch
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.skipped import HEADING
from deeplift_cli.process.progress import Progressed, no_progress
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.run.summary import relative_completeness_error

# The sum of a row's contributions may differ from the difference in output by this fraction of the sum of
# absolute values. Rounding by the stored type and by the precision of the computation is smaller.
_ROUNDING = {"float64": 1e-4, "float32": 1e-4, "float16": 5e-3, "bfloat16": 5e-2}


@dataclass
class Verified:
    """The results of all checks of one file.

    Attributes
    ----------
    path : Path
    lines : list of (str, str)
        The name of each check, and its result.
    problems : list of str
        Each problem with its place in the file; empty if the file is right.
    """

    path: Path
    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, label: str, well: str, problems: list[str]) -> None:
        """Add the result of one check."""
        self.lines.append((label, "wrong, see below" if problems else well))
        self.problems += problems


def verify(path: Path, progress: Progressed = no_progress) -> Verified:
    """Check one file and its companion files, in a child process, since a damaged file may crash HDF5.

    Parameters
    ----------
    path : Path
        A score file.
    progress : callable, optional
        Called with the numbers of checked rows and of all rows.
    """
    try:
        with _SharedCount() as count:
            return watched(lambda alive: _verify(path, count, alive), lambda: count.tell(progress))
    except LostError as error:
        found = Verified(path)
        found.add("layout", "", [f"score file {path} is damaged: reading it, HDF5 {error}"])
        return found


class _SharedCount:
    """Numbers of rows that the child writes and this process reads; a context manager."""

    _PAIR = struct.Struct("qq")

    def __enter__(self) -> "_SharedCount":
        self._memory = mmap.mmap(-1, self._PAIR.size)  # shared with child processes
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()

    def set(self, done: int, total: int) -> None:
        """Keep the numbers of checked rows and of all rows."""
        self._PAIR.pack_into(self._memory, 0, done, total)

    def tell(self, progress: Progressed) -> None:
        """Call a function with both numbers, once the child has begun."""
        done, total = self._PAIR.unpack_from(self._memory)
        if total:
            progress(done, total)


def _verify(path: Path, count: _SharedCount, alive: Callable[[], None]) -> Verified:
    found = Verified(path)
    try:
        reader = ScoreReader(path)
    except UserError as error:
        found.add("layout", "", [str(error)])
        return found
    layout = reader.layout
    each = f"{layout.n_references} references each" if layout.has_references else "in-silico mutagenesis"
    found.lines.append(("sequences", f"{reader.n_rows:,} of {layout.length:,} bp, {each}"))
    found.add("layout", f"version 1, {len(layout.datasets)} datasets", [])
    checks = _Checks(reader)
    damage = []
    with _Bed(companions(path)[0], reader.chrom_sizes or {}) as bed, compressing_threads() as pool:
        try:
            for batch in reader.batches(pool):
                checks.add(batch)
                bed.add(batch)
                count.set(batch.rows.stop, reader.n_rows)
                alive()
        except UserError as error:
            damage = [str(error)]
    n = len(reader.checksums)
    well = f"all {n} datasets, and the attributes" if n else "none: an early version wrote the file"
    found.add("checksums", well, damage)
    found.add("values", "finite, one-hot, and agree with each other", checks.problems)
    beside = [*bed.problems(whole=not damage), *_skipped_problems(reader)]
    found.add("companions", "agree", beside)
    return found


# ---- values


class _Checks:
    """Checks the batches of a file one after the other, and keeps the first problem of each kind."""

    def __init__(self, reader: ScoreReader) -> None:
        self._reader = reader
        self._last_index = -1
        self._found: dict[str, str] = {}
        kinds = (reader.layout.dtype, str(reader.attrs.get("precision", "float32")))
        self._rounding = max(_ROUNDING.get(kind, 0.0) for kind in kinds)

    @property
    def problems(self) -> list[str]:
        """The problems as text."""
        return list(self._found.values())

    def add(self, batch: ReadBatch) -> None:
        """Check the values of a batch."""
        sequences, hypothetical, projected = (
            batch.values(name) for name in ("raw/seq", "shap/seq", "projected_shap/seq")
        )
        wide = {"shap/seq": hypothetical, "projected_shap/seq": projected}
        for name, values in (wide | batch.numbers).items():
            self._note(batch, ~np.isfinite(values), name, "holds a value that is not a finite number")
        not_one_hot = ((sequences != 0) & (sequences != 1)) | (sequences.sum(axis=1, keepdims=True) > 1)
        self._note(batch, not_one_hot, "raw/seq", "is not one-hot")
        expected = np.where(sequences != 0, hypothetical, 0)
        self._note(
            batch, projected != expected, "projected_shap/seq", "is not shap/seq at the observed bases"
        )
        self._regions(batch)
        if self._found:  # a problem above causes wrong sums, too
            return
        if self._reader.layout.has_references:
            self._sums(batch, projected)
        else:
            self._mutants(batch, sequences, hypothetical)

    def _regions(self, batch: ReadBatch) -> None:
        regions = batch.regions
        width = np.array([region.end - region.start != self._reader.layout.length for region in regions])
        self._note(batch, width, "regions/end", "is not regions/start and the length of the sequence")
        strand = np.array([region.strand not in ("+", "-", ".") for region in regions])
        self._note(batch, strand, "regions/strand", "is not one of + - .")
        index = np.array([self._last_index, *(region.index for region in regions)])
        self._note(batch, np.diff(index) <= 0, "regions/index", "does not ascend")
        self._last_index = int(index[-1])

    def _sums(self, batch: ReadBatch, projected: npt.NDArray[Any]) -> None:
        """Check summation-to-delta within the errors that the file itself states."""
        output, at_reference, error = (
            batch.numbers[f"qc/{name}"] for name in ("output", "reference_output", "completeness_error")
        )
        total = projected.sum(axis=(1, 2), dtype=np.float64)
        total -= batch.numbers.get(REFERENCE_CORRECTION, 0)
        missed = np.abs(total - (output - at_reference.mean(1)) - error.mean(1))
        size = np.abs(projected).sum(axis=(1, 2), dtype=np.float64) + np.abs(output)
        size += np.abs(at_reference).max(1)
        self._note(
            batch, missed > self._rounding * size, "projected_shap/seq",
            "does not sum to qc/output - qc/reference_output + qc/completeness_error"
            + (f" + {REFERENCE_CORRECTION}" if REFERENCE_CORRECTION in batch.numbers else ""),
        )  # fmt: skip
        worst = self._reader.worst
        if "averaged_from" not in self._reader.attrs and worst is not None:
            relative = relative_completeness_error(error, output, at_reference)
            beyond = relative > worst * (1 + 1e-6)
            self._note(
                batch,
                beyond,
                "qc/completeness_error",
                "is beyond worst_relative_completeness_error",
            )

    def _mutants(self, batch: ReadBatch, sequences: npt.NDArray[Any], hypothetical: npt.NDArray[Any]) -> None:
        """Check that contributions are those of the mutants: their differences less the mean over bases."""
        differences = batch.numbers[MUTANTS].astype(np.float64)
        not_mutants = (sequences != 0) | ~sequences.any(axis=1, keepdims=True)
        self._note(batch, (differences != 0) & not_mutants, MUTANTS, "has a value that belongs to no mutant")
        expected = differences - differences.mean(axis=1, keepdims=True)
        size = np.abs(differences).max(axis=(1, 2), keepdims=True)
        self._note(
            batch,
            np.abs(hypothetical - expected) > self._rounding * size,
            "shap/seq",
            f"is not {MUTANTS} less its mean over the bases",
        )

    def _note(self, batch: ReadBatch, wrong: npt.NDArray[Any], name: str, what: str) -> None:
        """Keep a problem with its first row, if a row of `wrong` [N, ...] has a true element."""
        rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1)) if wrong.size else wrong
        key = f"{name} {what}"
        if rows.size and key not in self._found:
            more = f" (and {rows.size - 1} more before row {batch.rows.stop})" if rows.size > 1 else ""
            self._found[key] = f"{name}, row {batch.rows.start + int(rows[0]) + 1}, {what}{more}"


# ---- companion files


class _Bed:
    """SCORES.bed, compared line by line with the rows; a context manager."""

    def __init__(self, path: Path, chrom_sizes: Mapping[str, int]) -> None:
        self._path = path
        self._chrom_sizes = chrom_sizes
        self._problem = ""
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Bed":
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            self._problem = f"{self._path}, which belongs to the file, cannot be read: {error.strerror}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._at_end = not self._file.read(1)
            self._file.close()

    def add(self, batch: ReadBatch) -> None:
        """Compare the next lines with the rows of a batch."""
        if self._file is None or self._problem:
            return
        outputs = batch.numbers["qc/output"].tolist()
        rows = zip(batch.regions, outputs, strict=True)
        for place, (region, output) in enumerate(rows, start=batch.rows.start):
            size = self._chrom_sizes.get(region.chrom)
            expected = narrowpeak_line(region, output, size).encode("utf-8", "surrogateescape")
            if self._file.readline(len(expected) + 1) != expected:
                self._problem = f"{self._path}, line {place + 1}, is not row {place + 1} of the file"
                return

    def problems(self, whole: bool) -> Iterator[str]:
        """Yield the problems; `whole` says whether all rows have been compared."""
        if self._problem:
            yield self._problem
        elif whole and not self._at_end:
            yield f"{self._path} has more lines than the file has rows"


def _skipped_problems(reader: ScoreReader) -> Iterator[str]:
    path = companions(reader.path)[1]
    try:
        with path.open("rb") as file:
            heading, count = file.readline(len(HEADING)), sum(1 for _ in file)
    except OSError as error:
        yield f"{path}, which belongs to the file, cannot be read: {error.strerror}"
        return
    if heading != HEADING.encode():
        yield f"{path} does not begin with the heading {' '.join(HEADING.split())}"
    elif count != reader.n_skipped:
        yield f"{path} lists {count:,} records, but the file says that {reader.n_skipped:,} were skipped"
