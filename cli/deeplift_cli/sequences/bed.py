"""Regions files: BED3 to narrowPeak, streamed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.text import open_text, shorten

_WHAT = "regions file"
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0*)?", re.ASCII)  # pandas writes a summit with gaps as 292.0
_NARROWPEAK_COLUMNS = 10
_BED12_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class BedLine:
    """One region: 0-based half-open; `summit` counts from `start`, None where the line has none."""

    index: int
    line: int
    chrom: str
    start: int
    end: int
    name: str
    strand: str
    summit: int | None


def read_bed(path: Path) -> Iterator[BedLine]:
    """Parse a regions file: gzip or not; track, browser, # and blank lines and extra columns are ignored.

    Raises
    ------
    UserError
        When the file cannot be read, holds no region, or a line has fewer than 3 columns, coordinates that
        are not integers or an end that is not after its start (with the line's number).
    """
    count = 0
    with open_text(path, _WHAT) as file:
        for number, raw in enumerate(file, start=1):
            text = raw.strip("\r\n\ufeff")
            # Tabs where there are any, so that a name may hold spaces; BED allows spaces between columns too.
            columns = [column.strip() for column in text.split("\t")] if "\t" in text else text.split()
            if not any(columns) or text.startswith("#") or text.split()[0] in ("track", "browser"):
                continue
            yield _parse(columns, count, number, f"{_WHAT} {path}, line {number}")
            count += 1
    if not count:
        raise UserError(f"{_WHAT} {path} holds no regions")


def _parse(columns: list[str], index: int, number: int, where: str) -> BedLine:
    if len(columns) < 3:
        raise UserError(f"{where} has {len(columns)} column(s); BED needs 3 or more: chromosome, start, end")
    chrom = columns[0]
    start = _coordinate(columns[1], "start", where)
    end = _coordinate(columns[2], "end", where)
    if end <= start:
        raise UserError(f"{where}: the end {end} is not after the start {start}")
    name = columns[3] if len(columns) > 3 else ""
    strand = columns[5] if len(columns) > 5 and columns[5] in ("+", "-") else "."
    if name in ("", "."):
        name = f"{chrom}:{start}-{end}"
    return BedLine(index, number, chrom, start, end, name, strand, _summit(columns))


def _coordinate(text: str, which: str, where: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise UserError(
            f"{where} has {shorten(text)} where the {which} belongs, an integer (begin a heading with '#')"
        )
    return int(text)


def _summit(columns: list[str]) -> int | None:
    """Column 10 of narrowPeak, where -1 or "." means none; in BED12 that column counts exons instead."""
    if len(columns) < _NARROWPEAK_COLUMNS or _is_bed12(columns):
        return None
    match = _WHOLE_NUMBER.fullmatch(columns[_NARROWPEAK_COLUMNS - 1])
    return int(match[1]) if match else None


def _is_bed12(columns: list[str]) -> bool:
    if len(columns) != _BED12_COLUMNS:
        return False
    sizes, starts = (text.rstrip(",").split(",") for text in columns[10:])
    return len(sizes) == len(starts) and columns[9] == str(len(sizes))
