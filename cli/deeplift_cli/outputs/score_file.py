"""Writer of SCORES.h5, layout version 1, and of SCORES.bed and SCORES.skipped.tsv beside it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py

from deeplift_cli.outputs import chromosomes
from deeplift_cli.outputs.attributes import write_attributes
from deeplift_cli.outputs.checksums import OrderedDigest
from deeplift_cli.outputs.columns import Column
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.growing_file import GrowingFile
from deeplift_cli.outputs.narrowpeak import NarrowPeakFile
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_columns import ScoreColumns


def companions(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two files beside a score file: SCORES.bed and SCORES.skipped.tsv."""
    is_hdf5 = path.suffix.lower() in (".h5", ".hdf5", ".hdf")
    stem = path.stem if is_hdf5 else path.name
    return path.with_name(f"{stem}.bed"), path.with_name(f"{stem}.skipped.tsv")


class ScoreFile(GrowingFile):
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
        super().__init__(Path(path))
        self.n_rows = 0
        self._layout = layout
        self._skipped = skipped
        self._attrs = dict(attrs)
        self._chrom_sizes = chrom_sizes
        self._overwrite = overwrite
        self._scratch = scratch
        self._publication = publication
        self._digests = digests or {}

    def _begin(self, stack: ExitStack) -> Path:
        bed, skipped = companions(self.path)
        check_writable(
            [self.path, bed, skipped], self._overwrite, beside=dict.fromkeys((bed, skipped), self.path)
        )
        publication = self._publication or stack.enter_context(Publication(self._scratch))
        self._bed = stack.enter_context(NarrowPeakFile(publication.temporary(bed), self._chrom_sizes or {}))
        publication.add(self._skipped, skipped)
        self.temporary = publication.temporary(self.path)
        return self.temporary

    def _create(self, file: h5py.File, pool: Executor) -> Sequence[Column]:
        write_attributes(file, self._attrs)
        if self._chrom_sizes:
            chromosomes.write(file, self._chrom_sizes, pool)
        self._scores = ScoreColumns(file, self._layout, pool, self._digests)
        return [self._scores]

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
        self._scores.append(batch)
        self._bed.append(batch.regions, batch.numbers["qc/output"].tolist())
        self.n_rows += len(batch.regions)
        self._raise_error()
