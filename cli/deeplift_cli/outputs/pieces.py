"""Pieces: finished batches, each in a file of its own, from which the score file is made at the end.

An HDF5 file that is open for writing is lost when its process is killed. A piece is written under another
name, flushed to the disc and renamed, so that a piece is either whole or missing, whatever happens.
Pieces are zip archives of arrays (`numpy.load` opens them); the checksums of the archive reveal damage. Each
piece names its job and the records that have no row because their scores are not finite. An array takes about
as long to write as a sequence takes to compress, so there are only three arrays: ``head`` holds JSON,
``rows`` a record with the numbers of each sequence, and ``content`` the compressed chunks one after the
other.
"""

import errno
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.datasets import NUMBERS, WIDE, numbers_with
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.publish import to_disc
from deeplift_cli.outputs.state_files import PieceHead, head_json, parse_head
from deeplift_cli.sequences.records import Region, Skipped

_NAME = re.compile(r"(\d{8,})\.npz")
# Exceptions that zipfile and numpy raise when they read a damaged file.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, TypeError)


class DamagedPieceError(Exception):
    """A piece is damaged."""


class Pieces:
    """The pieces in one folder, by the numbers of their batches.

    Parameters
    ----------
    folder : Path
        The folder, which exists.

    Attributes
    ----------
    numbers : set of int
        The numbers of the batches that have a piece.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with os.scandir(folder) as entries:
            found = [_NAME.fullmatch(entry.name) for entry in entries if entry.is_file(follow_symlinks=False)]
        self.numbers = {int(match[1]) for match in found if match}

    def save(
        self, number: int, batch: PackedBatch, digest: bytes, job: str, skipped: Sequence[Skipped] = ()
    ) -> None:
        """Save a batch as a piece.

        Parameters
        ----------
        number : int
        batch : PackedBatch
        digest : bytes
            The digest of the records; a run that resumes compares it with its own records.
        job : str
            The digest of the job; a run that resumes compares it with its own job.
        skipped : sequence of Skipped
            Records of the batch that have no row.

        Raises
        ------
        OSError
            If the piece could not be written; no piece of the batch is there then.
        """
        head = PieceHead(
            digest,
            job,
            [[getattr(region, key) for key in Region.__slots__] for region in batch.regions],
            {name: [len(chunk) for chunk in batch.chunks[name]] for name in WIDE},
            list(skipped),
        )
        arrays = {
            "head": np.frombuffer(head_json(head), np.uint8),
            "rows": _rows(batch),
            "content": np.frombuffer(
                b"".join(chunk for name in WIDE for chunk in batch.chunks[name]), np.uint8
            ),
        }
        final = self.path(number)
        temporary = final.with_suffix(".part")
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:  # the mode "x" never follows a link
                np.savez(file, **arrays)  # type: ignore[arg-type]
            to_disc(temporary)
            os.replace(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.numbers.add(number)

    def load(self, number: int) -> PackedBatch:
        """Return a batch from its piece.

        Raises
        ------
        DamagedPieceError
            If the piece is damaged; the piece is removed, so that its batch counts as not scored.
        """
        with _Piece(self, number) as piece:
            head = _head(piece)
            regions = [Region(*fields) for fields in head.regions]
            return PackedBatch(
                regions, _cut(piece["content"].tobytes(), head.sizes), _numbers(piece["rows"], head)
            )

    def summary(self, number: int) -> tuple[PieceHead, dict[str, npt.NDArray[Any]]]:
        """Return the head of a piece and its small arrays, without scores.

        Raises
        ------
        DamagedPieceError
            As `load`.
        """
        with _Piece(self, number) as piece:
            head = _head(piece)
            return head, _numbers(piece["rows"], head)

    def drop(self, number: int) -> None:
        """Remove the piece of a batch."""
        self.numbers.discard(number)
        self.path(number).unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Return the path of a batch's piece."""
        return self._folder / f"{number:08d}.npz"


class _Piece:
    """An opened piece; a context manager that removes the piece if it turns out to be damaged."""

    def __init__(self, pieces: Pieces, number: int) -> None:
        self._pieces, self._number = pieces, number

    def __enter__(self) -> Any:
        self._path = self._pieces.path(self._number)
        try:
            self._file = np.load(self._path, allow_pickle=False)
        except (*_DAMAGED, OSError) as error:
            self._give_up(error)
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._file.close()
        if isinstance(error, (*_DAMAGED, OSError)):
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.ENOENT):
            raise error  # the disc failed; the piece itself may be whole
        self._pieces.drop(self._number)
        raise DamagedPieceError(f"{self._path} is damaged ({error})") from error


def _rows(batch: PackedBatch) -> npt.NDArray[Any]:
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in batch.numbers.items()]
    rows = np.empty(len(batch.regions), kinds)
    for name, values in batch.numbers.items():
        rows[name] = values
    return rows


def _head(piece: Any) -> PieceHead:
    return parse_head(piece["head"].tobytes())


def _numbers(rows: npt.NDArray[Any], head: PieceHead) -> dict[str, npt.NDArray[Any]]:
    if rows.shape != (len(head.regions),):
        raise ValueError("arrays of different lengths")
    names = rows.dtype.names
    if names is None or not set(numbers_with(names)) <= set(names) <= set(NUMBERS):
        raise ValueError("other numbers than those of a batch")
    # The arrays are copied: numbers inside records are not aligned, and torch refuses such arrays.
    return {name: rows[name].copy() for name in names}


def _cut(content: bytes, sizes: dict[str, list[int]]) -> dict[str, list[bytes]]:
    """Return the chunks of each wide dataset."""
    if set(sizes) != set(WIDE):
        raise ValueError("chunks of other datasets")
    if sum(map(sum, sizes.values())) != len(content):
        raise ValueError("chunks of other sizes")
    ends = accumulate(size for name in WIDE for size in sizes[name])
    return {
        name: [content[end - size : end] for size, end in zip(sizes[name], ends, strict=False)]
        for name in WIDE
    }
