"""Writer of SCORES.h5, layout version 1, and of SCORES.bed and SCORES.skipped.tsv beside it."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import chromosomes
from deeplift_cli.outputs.attributes import write_attributes
from deeplift_cli.outputs.checksums import OrderedDigest
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.guarded_file import GuardedFile
from deeplift_cli.outputs.narrowpeak import NarrowPeakFile
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_columns import ScoreColumns


def companions(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two files beside a score file: SCORES.bed and SCORES.skipped.tsv."""
    is_hdf5 = path.suffix.lower() in (".h5", ".hdf5", ".hdf")
    stem = path.stem if is_hdf5 else path.name
    return path.with_name(f"{stem}.bed"), path.with_name(f"{stem}.skipped.tsv")


class ScoreFile:
    """Writes packed batches to one HDF5 file and its two companion files; a context manager.

    The three files appear together on a clean exit, the HDF5 file last: if the HDF5 file exists, the other
    two are complete and belong to it. On an exception no file appears, and the files of an earlier run stay.

    Parameters
    ----------
    path : str or Path
        The HDF5 file to write.
    layout : ScoreLayout
    skipped : Path
        A finished table of the skipped records, which becomes SCORES.skipped.tsv.
    attrs : mapping of str to anything that JSON can hold
        Written as attributes of the file; lists, mappings and None as JSON.
    chrom_sizes : mapping of str to int, optional
        Lengths of the genome's chromosomes in bp, if they are known.
    overwrite : bool
        True if files that exist may be replaced.
    scratch : Path, optional
        A folder on the same disc for unfinished files; by default the file's own folder.
    publication : Publication, optional
        The publication with which the files appear after a clean exit; by default a publication of their own.
    digests : mapping of str to OrderedDigest, optional
        The digests of all values of the wide datasets that are going to be appended, if they are known.

    Attributes
    ----------
    temporary : Path
        The HDF5 file before it is published; it is complete after a clean exit.

    Raises
    ------
    UserError
        On entry, as `publish.check_writable`; later, if the disc is full.
    """

    def __init__(
        self,
        path: str | Path,
        layout: ScoreLayout,
        *,
        skipped: Path,
        attrs: Mapping[str, Any],
        chrom_sizes: Mapping[str, int] | None = None,
        overwrite: bool,
        scratch: Path | None = None,
        publication: Publication | None = None,
        digests: Mapping[str, OrderedDigest] | None = None,
    ) -> None:
        self.path = Path(path)
        self.n_rows = 0
        self._layout = layout
        self._skipped = skipped
        self._attrs = dict(attrs)
        self._chrom_sizes = chrom_sizes
        self._overwrite = overwrite
        self._scratch = scratch
        self._publication = publication
        self._digests = digests or {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        bed, skipped = companions(self.path)
        beside = dict.fromkeys((bed, skipped), self.path)
        check_writable([self.path, bed, skipped], self._overwrite, beside=beside)
        with ExitStack() as stack:
            publication = self._publication or stack.enter_context(Publication(self._scratch))
            self._bed = stack.enter_context(
                NarrowPeakFile(publication.temporary(bed), self._chrom_sizes or {})
            )
            publication.add(self._skipped, skipped)
            self.temporary = publication.temporary(self.path)
            self._guarded = stack.enter_context(GuardedFile(self.temporary))
            stack.push(self._check)
            self._file = stack.enter_context(h5py.File(self._guarded, "w"))
            write_attributes(self._file, self._attrs)
            pool = stack.enter_context(compressing_threads())
            if self._chrom_sizes:
                chromosomes.write(self._file, self._chrom_sizes, pool)
            self._columns = ScoreColumns(self._file, self._layout, pool, self._digests)
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def append(self, batch: PackedBatch) -> None:
        """Add a batch of at most K rows.

        While all batches before had K rows, compressed chunks are stored unchanged. After a batch with fewer
        rows, each row is compressed again in its chunk, so that the file does not depend on the batches.

        Raises
        ------
        UserError
            If the disc is full.
        ValueError
            If the batch has more than K rows, or a chunk is damaged.
        """
        self._columns.append(batch)
        self._bed.append(batch.regions, batch.numbers["qc/output"].tolist())
        self.n_rows += len(batch.regions)
        self._raise_error()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise not_written(self.path, failure) from failure

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rows that fill no chunk yet; called on exit."""
        if kind is None:
            self._columns.finish()
            self._raise_error()

    def _check(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise an error if HDF5 could not write the whole file; called after HDF5 has closed the file."""
        if kind is None:
            self._guarded.raise_error()

    def _raise_error(self) -> None:
        try:
            self._guarded.raise_error()
        except OSError as error:
            raise not_written(self.path, error) from error


def not_written(path: Path, error: OSError) -> UserError:
    """Return the error for an output that could not be written; the file that failed may be another one."""
    reason = os.strerror(error.errno) if error.errno else error  # h5py's own text runs over several lines
    failed = error.filename if error.filename2 is None else error.filename2
    place = "" if failed in (None, str(path), os.fspath(path.absolute())) else f" ({os.fsdecode(failed)})"
    return UserError(f"output {path} cannot be written: {reason}{place}")
