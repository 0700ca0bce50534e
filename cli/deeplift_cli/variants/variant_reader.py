"""Reader of the HDF5 files of variants; all values are compared with the stored checksums."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import structure
from deeplift_cli.outputs.attributes import read_attributes
from deeplift_cli.outputs.checksums import CHECKSUM, OrderedDigest, TextDigest
from deeplift_cli.outputs.datasets import VARIANTS_FORMAT, DatasetKind
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.structure import LayoutError
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.variants.variant_file import (
    ALT,
    ALT_LEFT,
    BACKGROUND,
    BACKGROUND_KIND,
    ERROR,
    FORMAT_VERSION,
    MODELS,
    MOTIF_TEXTS,
    REF,
    VariantLayout,
    VariantRows,
)

_ROWS_AT_ONCE = 4096  # of datasets without a length of sequences


class VariantReader:
    """A finished file of variants, which is open only while it is read.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    scores : ScoreReader
        The group of REF, whose attributes are those of the file and of all groups.
    layout : VariantLayout
    n_rows : int
        The number of variants.

    Raises
    ------
    UserError
        If the file is none of variants; while it is read, if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            is_one = _holds_variants(path)
        if not is_one:
            raise UserError(f"{path} is no file of deeplift variants, as other parts are")
        self.scores = ScoreReader(path, REF)
        groups = [REF]
        with self._opened() as file:
            groups += [name for name in (ALT, ALT_LEFT) if file.get(name, getlink=True) is not None]
        self._alleles = {REF: self.scores} | {name: ScoreReader(path, name) for name in groups[1:]}
        with self._opened() as file:
            self._read_layout(file, tuple(groups))

    def _read_layout(self, file: h5py.File, groups: tuple[str, ...]) -> None:
        self.n_rows = self.scores.n_rows
        for name, reader in self._alleles.items():
            if reader.n_rows != self.n_rows or reader.layout != self.scores.layout:
                raise LayoutError(f"group {name} has other rows or datasets than group {REF}")
        if ALT not in groups:
            raise LayoutError(f"there is no group {ALT}")
        n_models = structure.dataset(file, MODELS).shape[1] if MODELS in file else 1
        self.layout = VariantLayout(
            self.scores.layout,
            groups,
            n_models,
            errors=ERROR in file,
            background=BACKGROUND in file,
            motifs=MOTIF_TEXTS[0] in file,
        )
        self._checksums = dict[str, str]()
        if self.layout.background:
            self._check(file, BACKGROUND, BACKGROUND_KIND, len(structure.dataset(file, BACKGROUND)))
        for name, kind in (self.layout.numbers | self.layout.texts).items():
            self._check(file, name, kind, self.n_rows)

    def _check(self, file: h5py.File, name: str, kind: DatasetKind, n_rows: int) -> None:
        """Compare a dataset with its kind, and keep its checksum."""
        found = structure.dataset(file, name)
        for problem in structure.differences(name, found, kind, n_rows):
            raise LayoutError(problem)
        stored = found.attrs.get(CHECKSUM)
        if not isinstance(stored, str):
            raise LayoutError(f"{name} has no checksum")
        self._checksums[name] = stored

    @property
    def shard(self) -> str | None:
        """The shard, such as "2/4"; None for a whole job."""
        return self.scores.shard

    @property
    def n_skipped(self) -> int:
        """The number of variants that the run skipped."""
        return self.scores.n_skipped

    @property
    def background(self) -> npt.NDArray[np.float64]:
        """The effects [n] of the background variants of this file.

        Raises
        ------
        UserError
            If they are damaged.
        """
        if not self.layout.background:
            return np.zeros(0)
        with self._opened() as file:
            found: npt.NDArray[np.float64] = file[BACKGROUND][:]
            digest = OrderedDigest()
            digest.add(found)
            self._check_sum(BACKGROUND, digest.hexdigest())
        return found

    def rows(self, pool: Executor) -> Iterator[VariantRows]:
        """Yield all variants, some at a time, with the compressed chunks of their scores as stored.

        Parameters
        ----------
        pool : Executor
            The threads that inflate chunks and compute checksums.

        Raises
        ------
        UserError
            If a dataset is damaged; after the last rows, if its values do not fit its checksum.
        """
        numbers = {name: OrderedDigest() for name in self.layout.numbers}
        texts = {name: TextDigest() for name in self.layout.texts}
        first = 0
        with self._opened() as file:
            for batches in zip(*(reader.packed(pool) for reader in self._alleles.values()), strict=True):
                alleles: dict[str, PackedBatch] = dict(zip(self._alleles, batches, strict=True))
                rows = slice(first, first + len(batches[0].regions))
                found = {name: file[name][rows] for name in numbers}
                for name, values in found.items():
                    numbers[name].add(values)
                encoded = {name: file[name][rows] for name in texts}
                for name, values in encoded.items():
                    texts[name].add(values)
                yield VariantRows(
                    alleles, found, {name: _decoded(values) for name, values in encoded.items()}
                )
                first = rows.stop
            for name, digest in (numbers | texts).items():
                self._check_sum(name, digest.hexdigest())

    def probe(self, alive: Callable[[], None]) -> None:
        """Read everything but the chunks of the wide datasets, as `ScoreReader.probe`.

        Parameters
        ----------
        alive : callable
            Called now and then, as a sign of life.

        Raises
        ------
        UserError
            If something cannot be read.
        """
        for reader in self._alleles.values():
            reader.probe(alive)
        with self._opened() as file:
            for name in self._checksums:
                dataset = file[name]
                step = dataset.chunks[0] if dataset.ndim > 1 else _ROWS_AT_ONCE
                for first in range(0, len(dataset), step):
                    dataset[first : first + step]
                alive()

    @contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        with self._errors(), h5py.File(self.path, "r") as file:
            yield file

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn exceptions of h5py, which can have any type at a damaged file, into one line."""
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise self._damaged(detail) from error

    def _check_sum(self, name: str, found: str) -> None:
        if found != self._checksums[name]:
            raise self._damaged(f"{name}: the values are not those of the stored checksum")

    def _damaged(self, what: str) -> UserError:
        return _damaged(self.path, what)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"file of variants {path} is damaged, {what}; score its variants again")


def _decoded(values: npt.NDArray[Any]) -> list[str]:
    return [text.decode("utf-8", "surrogateescape") for text in values]


def holds_variants(path: Path) -> bool:
    """Return whether a file of unknown origin is one of `deeplift variants`, as a child process finds it.

    The answer is no for a file that HDF5 cannot read; the reader of score files says what is wrong with it.

    Raises
    ------
    UserError
        If the file is one of another version.
    """
    try:
        return watched(lambda _: _holds_variants(path))
    except LostError:
        return False


def _holds_variants(path: Path) -> bool:
    """Return whether a file is one of `deeplift variants`, by its attributes."""
    with h5py.File(path, "r") as file:
        found = read_attributes(file)
    if found.get("format") != VARIANTS_FORMAT:
        return False
    if found.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} is no file of variants of version {FORMAT_VERSION} (deeplift variants)")
    return True


def probed_variants(path: Path) -> VariantReader:
    """Open a file of unknown origin, after a child process has tested that HDF5 can read the file.

    Raises
    ------
    UserError
        If the file is none of variants, or is damaged.
    """
    try:
        watched(lambda alive: VariantReader(path).probe(alive))
    except LostError as error:
        raise _damaged(path, f"reading it, HDF5 {error}") from error
    return VariantReader(path)
