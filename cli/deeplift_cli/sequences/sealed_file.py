"""Sealed files in the cache: a head names the source of a file, and a checksum shows whether it is whole."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LONGEST_HEAD = 2**20
_LENGTH_BYTES, _DIGEST_BYTES = 8, 32
_BLOCK = 2**20


class SealedFile:
    """A writer of a sealed file: data, the head as JSON, the head's length, and the SHA-256 of all these.

    The head follows the data, since the head describes data that are not known before they are written. The
    writer is a context manager.

    Parameters
    ----------
    path : Path
        The file to make.

    Raises
    ------
    OSError
        Every method raises this error if the file exists or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._file = self._path.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Add data."""
        self._digest.update(data)
        self._file.write(data)

    def seal(self, head: Mapping[str, Any]) -> None:
        """Write the head and the checksum, which end the file."""
        text = json.dumps(head).encode()
        self.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))
        self._file.write(self._digest.digest())


def read_head(path: Path, expected: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
    """Read the head of a sealed file.

    Parameters
    ----------
    path : Path
    expected : mapping
        Entries that the head must have, such as what the file was made from.

    Returns
    -------
    tuple of dict and int, or None
        The head, and the number of bytes of the data. The value is None if the file is missing, is not a
        sealed file, or its head has other entries.
    """
    with suppress(OSError, ValueError), path.open("rb") as file:
        end = file.seek(0, 2) - _DIGEST_BYTES - _LENGTH_BYTES
        file.seek(max(end, 0))
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length <= min(end, _LONGEST_HEAD):
            file.seek(end - length)
            head = json.loads(file.read(length))
            if isinstance(head, dict) and all(head.get(key) == value for key, value in expected.items()):
                return head, end - length
    return None


def is_whole(path: Path) -> bool:
    """Return whether the checksum of a sealed file is right."""
    digest = hashlib.sha256()
    with suppress(OSError), path.open("rb") as file:
        left = file.seek(0, 2) - _DIGEST_BYTES
        file.seek(0)
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        return left == 0 and file.read() == digest.digest()
    return False
