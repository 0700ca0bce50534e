"""Standard input as a file, for readers that read their file several times."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from deeplift_cli.errors import UserError

STANDARD_INPUT = Path("-")


@contextmanager
def copied_if_standard_input(path: Path | None) -> Iterator[Path | None]:
    """Give a path, or the path of a copy of standard input if the path is `-`.

    Yields
    ------
    Path or None
        The copy lies in the folder for temporary files, and is deleted afterwards.

    Raises
    ------
    UserError
        If standard input is closed, or the copy cannot be written.
    """
    if path != STANDARD_INPUT:
        yield path
        return
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("-: standard input is closed; give a file")
    with _folder() as folder:
        copy = folder / "standard-input"
        _copy(sys.stdin.buffer, copy)
        yield copy


@contextmanager
def _folder() -> Iterator[Path]:
    try:
        made = TemporaryDirectory(prefix="deeplift-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(f"no folder for temporary files can be made: {error.strerror}; set TMPDIR") from error
    with made as folder:
        yield Path(folder)


def _copy(stream: BinaryIO, copy: Path) -> None:
    try:
        with copy.open("xb") as file:
            shutil.copyfileobj(stream, file)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"standard input cannot be copied to {copy}: {reason}; set TMPDIR") from error
