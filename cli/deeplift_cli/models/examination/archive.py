"""Reader and writer of zip archives as torch writes them, one member at a time."""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from deeplift_cli.errors import UserError

# Loading keeps three copies: the members, the new archive, and the tensors that torch makes from it.
_COPIES = 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TOP = "archive"
_VERSION = re.compile(rb"[\w.]{1,20}\s*")


class Archive:
    """A zip archive whose directory was examined.

    Parameters
    ----------
    file : path or binary file
    label : str
        The name of the archive in messages: its path, and the member's name if it lies in another archive.

    Raises
    ------
    UserError
        If the file is no whole archive, two members have one name, or the members need more memory than the
        machine has.
    """

    def __init__(self, file: Path | BinaryIO, label: str) -> None:
        self.label = label
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise UserError(f"model file {label} is a damaged or truncated archive: {error}") from error
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        names = without_top_folder([member.filename for member in members])
        self._members = dict(zip(names, members, strict=True))
        if len(self._members) < len(members):
            twice = next(name for name in names if names.count(name) > 1)
            self._zip.close()
            raise UserError(
                f"model file {label} has two members of the name {twice!r}, of which one program reads the "
                "first and another the second: save the model again"
            )
        try:
            require_memory(label, sum(member.file_size for member in members) * _COPIES)
        except UserError:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members without their common top folder, in the archive's order."""
        return tuple(self._members)

    def size(self, name: str) -> int | None:
        """Return the size of a member's content in bytes; None if there is no such member."""
        member = self._members.get(name)
        return None if member is None else member.file_size

    def read(self, name: str) -> bytes:
        """Return a member's content.

        Raises
        ------
        UserError
            If there is no such member, or it is damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise UserError(f"model file {self.label} is damaged or truncated: it has no {name}")
        if member.compress_type not in _METHODS or member.flag_bits & 1:
            raise UserError(
                f"model file {self.label}: its member {name} is encrypted, or compressed as no model's is"
            )
        try:
            return self._zip.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"model file {self.label} is damaged or truncated: {name}: {error or type(error).__name__}"
            ) from error


def is_version(content: bytes) -> bool:
    """Return whether the content of a member is a version or a byte order, as torch writes them."""
    return _VERSION.fullmatch(content) is not None


def without_top_folder(names: Sequence[str]) -> list[str]:
    """Return the names of members without the folder in which all members lie, if there is one."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) == 1 and all("/" in name for name in names):
        return [name.partition("/")[2] for name in names]
    return list(names)


def put_together(members: Mapping[str, bytes], *, top: str = _TOP) -> BinaryIO:
    """Return an archive in memory, at its start; `top` is the folder of all members, "" for none."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{top}/{name}" if top else name), content)
    file.seek(0)
    return file


def require_memory(label: str, needed: int) -> None:
    """Refuse content that does not fit into memory, before memory is allocated.

    Parameters
    ----------
    label : str
        The name of the file in messages.
    needed : int
        The needed memory in bytes.

    Raises
    ------
    UserError
        If the machine has less memory, or the job's limit is lower.
    """
    import torch

    from deeplift_cli.process.memory import memory_of

    there = memory_of(torch.device("cpu"))
    if needed > there:
        raise UserError(
            f"model file {label} needs about {_gigabytes(needed)} of memory to be loaded, and there are "
            f"{_gigabytes(there)}: it is damaged or made to fill the memory, or needs a larger machine"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
