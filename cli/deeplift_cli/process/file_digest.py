"""SHA-256 of files: a file whose digest is needed in several places is read once."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    state = path.stat()
    # The change time (ctime) changes with every write; programs can set the modification time (mtime).
    known = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return _digest(os.fspath(path), *known)


@lru_cache(maxsize=32)
def _digest(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
