"""Files in the cache that say what they were made from, and by a checksum that they are whole."""

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
    """Writes such a file: data, then its head as JSON, the length of the head, and SHA-256 of all these.

    The head comes last because it tells of data that are written as they come. A context manager.

    Parameters
    ----------
    path : Path
        To be made anew.

    Raises
    ------
    OSError
        From every method: if the file exists or cannot be written.
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
        """Write the head and the checksum; nothing comes after them."""
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
        The head, and the number of bytes of the data; None if this is no such file, or of something else.
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
    """Whether a sealed file is as it was written, by its checksum."""
    digest = hashlib.sha256()
    with suppress(OSError), path.open("rb") as file:
        left = file.seek(0, 2) - _DIGEST_BYTES
        file.seek(0)
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        return left == 0 and file.read() == digest.digest()
    return False
