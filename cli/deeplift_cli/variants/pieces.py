"""Finished batches of variants, each in a file of its own, from which the outputs are made at the end.

A piece is a zip archive of arrays (`numpy.load` opens it), written under another name, flushed to the disc
and renamed: a piece is either whole or missing. Its entry ``head`` is JSON: the job and the digest of the
batch to which the piece belongs, its variants, and those of them that have no scores.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.publish import to_disc
from deeplift_cli.sequences import Region, Skipped
from deeplift_cli.variants.source import PairBatch
from deeplift_cli.variants.vcf import Variant

Array = npt.NDArray[Any]

_LEVEL = 1  # scores are noise to zlib: higher levels take longer and save little
_HEAD = "head"
# Exceptions that zipfile, numpy and json raise when they read a damaged file.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Head:
    """What a piece says of its batch.

    Attributes
    ----------
    job, digest : str
        The digests of the job and of the batch.
    variants : list of Variant, [N]
        The variants with scores.
    regions : list of Region, [N]
        The windows of REF.
    skipped : list of Skipped
        The variants of the batch whose scores are not finite.
    """

    job: str
    digest: str
    variants: Sequence[Variant]
    regions: Sequence[Region]
    skipped: Sequence[Skipped]

    def to_json(self) -> bytes:
        """Return the text that `parse` reads."""
        rows = {
            name: [astuple(item) for item in getattr(self, name)]
            for name in ("variants", "regions", "skipped")
        }
        return json.dumps({"job": self.job, "digest": self.digest, **rows}).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Parse the text that `to_json` returned.

        Raises
        ------
        ValueError, KeyError or TypeError
            If the text is another one.
        """
        found = json.loads(text)
        return cls(
            str(found["job"]),
            str(found["digest"]),
            [Variant(*fields) for fields in found["variants"]],
            [Region(*fields) for fields in found["regions"]],
            [Skipped(*fields) for fields in found["skipped"]],
        )


class VariantPieces:
    """The pieces in the folder of a run.

    Parameters
    ----------
    out : Path
        The output beside which the folder lies, for messages.
    folder : Path
    job : str
        The digest of the job; pieces of other jobs count as missing.

    Attributes
    ----------
    finished : frozenset of int
        The numbers of the batches that earlier runs of the same job have finished.
    """

    def __init__(self, out: Path, folder: Path, job: str) -> None:
        self._out = out
        self._pieces = Pieces(folder)
        self._folder = folder
        self._job = job
        self.finished = frozenset(filter(self._is_usable, sorted(self._pieces.numbers)))

    def _is_usable(self, number: int) -> bool:
        try:
            with self.open(number) as piece:
                return piece.head.job == self._job
        except UserError:
            return False

    def save(
        self,
        number: int,
        whole: PairBatch,
        batch: PairBatch,
        skipped: Sequence[Skipped],
        arrays: Mapping[str, Array],
    ) -> None:
        """Save a batch: it is on the disc when the method returns.

        Parameters
        ----------
        number : int
        whole, batch : PairBatch
            All variants of the batch, and those with scores.
        skipped : sequence of Skipped
            The other variants.
        arrays : mapping of str to array

        Raises
        ------
        UserError
            If the batch cannot be written; there is no piece of the batch then.
        """
        variants = [pair.variant for pair in batch.pairs]
        head = Head(self._job, whole.digest.hex(), variants, batch.regions, skipped)
        values = {_HEAD: np.frombuffer(head.to_json(), np.uint8), **arrays}
        final = self._pieces.path(number)
        temporary = final.with_suffix(".part")
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:  # the mode "x" never follows a link
                _write(file, values)
            to_disc(temporary)
            os.replace(temporary, final)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise not_written(self._out, error) from error
        self._pieces.numbers.add(number)

    def open(self, number: int) -> "Piece":
        """Open a piece; a context manager.

        Raises
        ------
        UserError
            If the piece is damaged; the piece is removed, so that its batch is scored again.
        """
        return Piece(self._pieces, number)

    def checked(self, number: int, digest: str) -> "Piece":
        """Open the piece of a batch of this digest.

        Raises
        ------
        UserError
            If the piece holds scores of other variants, or as `open`.
        """
        piece = self.open(number)
        if piece.head.digest != digest:
            raise UserError(
                f"{self._folder} holds finished batches of other sequences: those of batch {number + 1} have "
                "changed since; --no-resume starts over"
            )
        return piece

    def drop(self, number: int) -> None:
        """Remove the piece of a batch."""
        self._pieces.drop(number)


def _write(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


class Piece:
    """One opened piece; a context manager, on whose exit the file is closed.

    Attributes
    ----------
    head : Head
    """

    def __init__(self, pieces: Pieces, number: int) -> None:
        self._pieces, self._number = pieces, number
        try:
            self._file = np.load(pieces.path(number), allow_pickle=False)
            self.head = Head.parse(self._file[_HEAD].tobytes())
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __getitem__(self, name: str) -> Array:
        """Return an array.

        Raises
        ------
        UserError
            If the array is damaged.
        """
        try:
            found: Array = self._file[name]
        except _DAMAGED as error:
            raise self._damaged(error) from error
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def _damaged(self, error: Exception) -> UserError:
        self._pieces.drop(self._number)
        return UserError(
            f"{self._pieces.path(self._number)} is damaged ({error}): the same command scores that batch "
            "again and resumes"
        )
