"""Reader of regions files from BED3 to narrowPeak, line by line."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.sequences.names import coordinate, name_fault, printed
from deeplift_cli.sequences.records import BEGINNING, Place
from deeplift_cli.sequences.text import columns_of, open_text, short_lines, shorten

_WHAT = "regions file"
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0*)?", re.ASCII)  # pandas writes a summit with gaps as 292.0
_NARROWPEAK_COLUMNS = 10
_BED12_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class BedLine:
    """One region, 0-based and half-open; `summit` counts from `start`, and is None if the line has no summit.

    `fault` is the reason to skip the region, as the end of a sentence that begins with its name, or None: the
    line has a name that outputs cannot hold, or a coordinate of more than 64 bits. With such a coordinate
    `start` and `end` are 0.
    """

    index: int
    line: int
    chrom: str
    start: int
    end: int
    name: str
    strand: str
    summit: int | None
    fault: str | None


def _unchanged(name: str) -> str:
    return name


def read_bed(
    path: Path,
    start: Place = BEGINNING,
    translate: Callable[[str], str] = _unchanged,
    *,
    may_be_empty: bool = False,
) -> Iterator[BedLine]:
    """Parse a regions file, plain or gzip; ignore extra columns, and lines with track, browser, # or blanks.

    Parameters
    ----------
    path : Path
    start : Place
        The region to begin with.
    translate : callable
        Returns what the genome calls a chromosome of the file.
    may_be_empty : bool, optional
        True if a file without regions can be meant, such as one of motif hits where none was found.

    Raises
    ------
    UserError
        If the file cannot be read, or holds no region and should; with the line's number, if a line has fewer
        than 3 columns, coordinates that are not integers, an end that is not after its start, or more than a
        million characters.
    """
    count = start.number
    with open_text(path, _WHAT, start.offset) as file:
        for number, line in short_lines(file, f"{_WHAT} {path}", start.line):
            columns = columns_of(line)
            if not any(columns) or line.lstrip("\ufeff").startswith("#"):
                continue
            if line.split(maxsplit=1)[0].lstrip("\ufeff") in ("track", "browser"):
                continue
            if len(columns) < 3:
                raise UserError(
                    f"{_WHAT} {path}, line {number} has {len(columns)} column(s); BED needs 3 or more: "
                    f"chromosome, start, end{look_alike(path)}"
                )
            yield _parse(columns, count, number, path, translate)
            count += 1
    if not count and not may_be_empty:
        raise UserError(f"{_WHAT} {path} holds no regions")


def _parse(
    columns: list[str], index: int, number: int, path: Path, translate: Callable[[str], str]
) -> BedLine:
    where = f"{_WHAT} {path}, line {number}"
    chrom, start_text, end_text = columns[:3]
    start = _coordinate(start_text, "start", path, where)
    end = _coordinate(end_text, "end", path, where)
    name = columns[3] if len(columns) > 3 else ""
    chrom = translate(chrom)
    fault = name_fault(chrom, name)
    if start is None or end is None:
        fault = f"is at {shorten(start_text)} to {shorten(end_text)}, beyond what 64 bits hold"
        name = name if name not in ("", ".") else f"a region on {chrom}"
        start = end = 0
    elif end <= start:
        raise UserError(f"{where}: the end {end} is not after the start {start}")
    strand = columns[5] if len(columns) > 5 and columns[5] in ("+", "-") else "."
    if name in ("", "."):
        name = f"{chrom}:{start}-{end}"
    if fault is not None:
        chrom, name = printed(chrom), printed(name)
    return BedLine(index, number, chrom, start, end, name, strand, _summit(columns), fault)


def _coordinate(text: str, which: str, path: Path, where: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        raise UserError(
            f"{where} has {shorten(text)} where the {which} belongs, an integer (begin a heading with '#')"
            f"{look_alike(path)}"
        )
    return coordinate(text)


def _summit(columns: list[str]) -> int | None:
    """Column 10 of narrowPeak, where -1 or "." means none; BED12 and gappedPeak count blocks there."""
    if len(columns) < _NARROWPEAK_COLUMNS or _is_bed12(columns):
        return None
    match = _WHOLE_NUMBER.fullmatch(columns[_NARROWPEAK_COLUMNS - 1])
    return coordinate(match[1]) if match else None


def _is_bed12(columns: list[str]) -> bool:
    if len(columns) < _BED12_COLUMNS:
        return False
    sizes, starts = (text.rstrip(",").split(",") for text in columns[10:_BED12_COLUMNS])
    return len(sizes) == len(starts) and columns[9] == str(len(sizes)) and starts[0] == "0"
