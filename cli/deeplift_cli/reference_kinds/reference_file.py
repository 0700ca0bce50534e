"""Files of references, which `--save-references` writes and `--reference file:` reads.

The dataset ``references`` is [R, 4, L], the same for every sequence, or [N, R, 4, L], one set for
each. With the dataset ``sequence_digest`` [N], each sequence finds its set by the digest of its letters,
whatever the order of sequences. Without it, the sets belong to the input's records in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import FILTERS, ArrayColumn, Column
from deeplift_cli.outputs.growing_file import GrowingFile
from deeplift_cli.process.memory import memory_of
from deeplift_cli.sequences.text import require_file
from deeplift_references import NoReferencesError, Reference, SharedReference, blank_missing
from deeplift_references.generators.frequency import SUM_TOLERANCE

_DATASET, _DIGESTS = "references", "sequence_digest"


def digest(sequence: npt.NDArray[Any]) -> bytes:
    """Return the digest of a one-hot sequence [4, L] as 32 hex digits."""
    return blake2b(sequence.astype(np.int8).tobytes(), digest_size=16).hexdigest().encode()


class SavedForAll(SharedReference):
    """One set [R, 4, L] for every sequence."""

    def __init__(self, references: npt.NDArray[np.float32]) -> None:
        self._references = references
        self.n_references = int(references.shape[0])

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the set [R, 4, L]."""
        return self._references


class SavedForEach(Reference):
    """A set [R, 4, L] for each sequence, which is read when it is needed."""

    def __init__(self, dataset: h5py.Dataset, rows: Mapping[bytes, int] | None, path: Path) -> None:
        self._dataset = dataset
        self._rows = rows
        self._path = path
        self.n_references = int(dataset.shape[1])

    def __call__(
        self, sequences: npt.ArrayLike, rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the references [N, R, 4, L] of these sequences.

        Raises
        ------
        NoReferencesError
            If the file has no references for some sequences.
        UserError
            If the file has no digests of sequences, and fewer sets than the input has records.
        """
        one_hot = np.asarray(sequences)
        if self._rows is None:
            places = self._by_order(rows)
        else:
            found_rows = [self._rows.get(digest(sequence)) for sequence in one_hot]
            reason = f"has no references in {self._path}, which was saved for other sequences"
            if missing := {row: reason for row, place in enumerate(found_rows) if place is None}:
                raise NoReferencesError(missing)
            places = [place for place in found_rows if place is not None]
        with _damage_errors(self._path):
            found = np.stack([self._dataset[place] for place in places])
        return blank_missing(_distributions(found, self._path), one_hot)

    def _by_order(self, records: npt.NDArray[np.int64] | None) -> list[int]:
        count = self._dataset.shape[0]
        if records is None or (records >= count).any():
            raise UserError(f"{self._path} has references for {count} records, not for more")
        return [int(record) for record in records]


def open_references(path: Path, length: int) -> Reference:
    """Open a file of references for sequences of this length.

    The values are bases or frequencies of bases: from 0 to 1, with a sum of at most 1 at each position. All
    values must be in this file: links, and datasets that lie in other files, are refused.

    Raises
    ------
    UserError
        If the file is missing, is no file of references, has another length, or is too large for the memory.
    """
    require_file(path, "references file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"references {path} are not an HDF5 file ({error})") from error
    with _damage_errors(path):
        dataset = _own_dataset(file, _DATASET, path)
        if not _is_set_of_references(dataset):
            raise UserError(
                f"references {path} have no dataset {_DATASET!r} of numbers with shape [R, 4, L] or "
                "[N, R, 4, L]"
            )
        if dataset.shape[-1] != length:
            raise UserError(
                f"references {path} are {dataset.shape[-1]} bp long; the sequences are {length} bp"
            )
        _check_size(dataset, dataset.shape[-3:], path)
        if dataset.ndim == 3:
            return SavedForAll(_distributions(dataset[:], path))
        return SavedForEach(dataset, _rows(file, len(dataset), path), path)


@contextmanager
def _damage_errors(path: Path) -> Iterator[None]:
    """Turn exceptions of h5py at a damaged file into one line for the user."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        # h5py can raise any of these exceptions at a damaged file.
        raise UserError(f"references {path} cannot be read: {error}") from error


def _own_dataset(file: h5py.File, name: str, path: Path) -> Any:
    """Return the object of this name, or None; never open another file."""
    link = file.get(name, getlink=True) if name in set(file) else None
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise UserError(f"references {path}: {name!r} is a link; copy what it leads to into the file itself")
    found = file[name]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise UserError(f"references {path}: the values of {name!r} lie in other files; copy them into it")
    return found


def _check_size(dataset: h5py.Dataset, shape: Sequence[int], path: Path) -> None:
    """Refuse a dataset that does not fit into the memory; a small file can claim any size."""
    limit = memory_of(torch.device("cpu")) // 4
    for part, what in ((shape, "one set of references has"), (dataset.chunks or (), "HDF5 chunks have")):
        size = prod(part) * max(dataset.dtype.itemsize, 4)
        if size > limit:
            raise UserError(
                f"references {path}: {what} the shape {list(part)}, {size / 2**30:,.1f} GiB; a quarter of "
                f"the memory is {limit / 2**30:,.1f} GiB"
            )


def _rows(file: h5py.File, count: int, path: Path) -> dict[bytes, int] | None:
    """Return the row of each sequence's set by the sequence's digest; None if the file has no digests."""
    digests = _own_dataset(file, _DIGESTS, path)
    if digests is None:
        return None
    if not isinstance(digests, h5py.Dataset) or digests.shape != (count,) or digests.dtype != "S32":
        raise UserError(f"references {path}: {_DIGESTS!r} is not a dataset of {count} texts of 32 characters")
    _check_size(digests, digests.shape, path)
    return {key: place for place, key in enumerate(digests[:])}


def _is_set_of_references(dataset: Any) -> bool:
    if (
        not isinstance(dataset, h5py.Dataset)
        or dataset.ndim not in (3, 4)
        or dataset.dtype.kind not in "biuf"
    ):
        return False
    return dataset.shape[-2] == 4 and 0 not in dataset.shape


def _distributions(found: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    """Check references [..., 4, L] of any type of number, and return them as float32."""
    with np.errstate(over="ignore"):  # numbers beyond the range of float32 become infinite
        references = found.astype(np.float32)
    if not np.isfinite(references).all():
        raise UserError(f"references {path} hold values that are not finite numbers")
    if not ((references >= 0).all() and (references.sum(axis=-2) <= 1 + SUM_TOLERANCE).all()):
        raise UserError(
            f"references {path} hold values that are no bases nor frequencies of bases: at each position the "
            "four, in the order ACGT, are from 0 to 1 and have a sum of at most 1"
        )
    return references


class ReferenceFile(GrowingFile):
    """Writes the references of a run to a file for `file:`; a context manager.

    Parameters
    ----------
    path : Path
        The temporary file to write.
    final : Path
        The final name of the file, for messages.

    Attributes
    ----------
    is_shared : bool
        True if all sequences have the same set.
    """

    def __init__(self, path: Path, final: Path) -> None:
        super().__init__(final)
        self._temporary = path
        self.is_shared = False

    def _begin(self, stack: ExitStack) -> Path:
        return self._temporary

    def _create(self, file: h5py.File, pool: Executor) -> Sequence[Column]:
        self._file = file
        self._pool = pool
        self._sets = list[ArrayColumn]()  # one column, once the shape of a set is known
        return self._sets

    def shared(self, references: npt.NDArray[np.float32]) -> None:
        """Write the one set [R, 4, L] of all sequences.

        Raises
        ------
        UserError
            If the disc is full.
        """
        self.is_shared = True
        self._file.create_dataset(_DATASET, data=references, compression="gzip", shuffle=True)
        self._raise_error()

    def append(self, references: npt.NDArray[np.float32], sequences: npt.NDArray[np.int8]) -> None:
        """Write one set [R, 4, L] for each sequence.

        Raises
        ------
        UserError
            If the disc is full.
        """
        if not len(sequences):
            return
        if not self._sets:
            self._sets.append(self._column(references.shape[1:]))
        self._sets[0].append(references)
        digests = self._file[_DIGESTS]
        digests.resize(len(digests) + len(sequences), axis=0)
        digests[-len(sequences) :] = [digest(item) for item in sequences]
        self._raise_error()

    def _column(self, shape: tuple[int, ...]) -> ArrayColumn:
        self._file.create_dataset(_DIGESTS, (0,), "S32", maxshape=(None,), chunks=(1024,))
        dataset = self._file.create_dataset(
            _DATASET, (0, *shape), np.float32, maxshape=(None, *shape), chunks=(1, *shape), **FILTERS
        )
        return ArrayColumn(dataset, self._pool)

    def _not_written(self, error: OSError) -> UserError:
        return UserError(f"references {self.path} cannot be written: {error.strerror}")
