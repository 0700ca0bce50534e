"""Opening of text files, plain or gzip, with failures as messages for the user."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from deeplift_cli.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 2**17  # characters of a line at a time, so that memory stays bounded even at a line of 3 GB
_LONGEST_LINE = 2**20


def require_file(path: Path, what: str) -> None:
    """Check that a file can be read.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        The kind of file in messages ("FASTA file", "regions file").

    Raises
    ------
    UserError
        If the file is missing, empty, not readable or not a regular file (a pipe can be read only once, and
        sources are read several times).
    """
    try:
        if path.is_dir():
            raise UserError(f"{what} {path} is a folder; give a file")
        if not path.exists():
            raise UserError(f"{what} {path} does not exist")
        if not path.is_file():
            raise UserError(f"{what} {path} is not a regular file (a pipe, perhaps); save it to a file first")
        with path.open("rb") as file:
            if not file.read(1):
                raise UserError(f"{what} {path} is empty")
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror or error}") from error


def is_gzip(path: Path) -> bool:
    """Return whether a file is gzip (bgzip included) by its first bytes, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def is_bgzip(path: Path) -> bool:
    """Return whether a file is gzip in bgzip's blocks, whose extra field begins with the subfield "BC"."""
    with path.open("rb") as file:
        head = file.read(14)
    return head[:2] == _GZIP_MAGIC and len(head) == 14 and bool(head[3] & 4) and head[12:14] == b"BC"


@contextmanager
def open_text(path: Path, what: str, offset: int = 0) -> Iterator[TextIO]:
    """Open a file for reading lines; any of the three line ends is one newline.

    Bytes that are not UTF-8 become U+FFFD, so that such bytes in a heading are no error.

    Parameters
    ----------
    path : Path
    what : str
        The kind of file in messages.
    offset : int
        The offset at which to begin: the first byte of a line, in the unpacked file.

    Raises
    ------
    UserError
        If the file cannot be read; while reading, if its gzip stream is truncated or damaged.
    """
    with open_bytes(path, what) as binary:
        if offset:  # gzip is unpacked up to the offset, which takes a tenth of the time of parsing
            binary.seek(offset)
        yield TextIOWrapper(binary, encoding="utf-8", errors="replace")


@contextmanager
def open_bytes(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes; gzip is unpacked.

    Raises
    ------
    UserError
        As `open_text`.
    """
    require_file(path, what)
    try:
        with gzip.open(path, "rb") if is_gzip(path) else path.open("rb") as binary:
            yield cast(BinaryIO, binary)
    except EOFError as error:
        raise UserError(
            f"{what} {path} is cut short: its gzip stream ends too early; copy it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{what} {path} is damaged: {error}; copy or compress it again") from error
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror or error}") from error


def pieces(file: TextIO, first: int = 1, size: int = _PIECE) -> Iterator[tuple[int, str, bool]]:
    """Yield lines, without their ends, in pieces of fewer than twice `size` characters.

    Each item is the line's number, counted from `first`, the piece, and whether the piece begins the line.
    A piece that does not end its line has at least `size` characters. Some blank lines are left out.
    """
    number, begins, rest = first, True, ""
    while block := file.read(size):
        if (
            begins and not rest and block.count("\n") == len(block)
        ):  # a damaged file may have 10^8 blank lines
            number += len(block)
            continue
        lines = (rest + block).split("\n")
        rest = lines.pop()
        for line in lines:
            yield number, line, begins
            number, begins = number + 1, True
        if len(rest) >= size:
            yield number, rest, begins
            begins, rest = False, ""
    if rest:
        yield number, rest, begins


def short_lines(file: TextIO, what: str, first: int = 1) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, counted from `first`; for tables, whose lines are short.

    Raises
    ------
    UserError
        If a line is longer than 1,048,576 characters, as in a file that is no table.
    """
    number = first - 1
    while text := file.readline(_LONGEST_LINE):
        number += 1
        if len(text) == _LONGEST_LINE:
            raise UserError(
                f"{what}, line {number} is longer than {_LONGEST_LINE:,} characters; is this another file?"
            )
        yield number, text


def columns_of(line: str) -> list[str]:
    """Return the columns of a line, which is split at tabs if it has any, so that a name may hold spaces."""
    text = line.strip("\r\n\ufeff")
    return [column.strip() for column in text.split("\t")] if "\t" in text else text.split()


def shorten(text: str, limit: int = 24) -> str:
    """Quote the beginning of a text for a message, on one line."""
    return repr(text if len(text) <= limit else text[:limit] + "...")
