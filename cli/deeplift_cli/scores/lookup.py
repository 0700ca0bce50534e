"""Search for regions by name, by row, or by a place on a chromosome."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.names import coordinate, printed
from deeplift_cli.sequences.records import Region

_PLACE = re.compile(r"(?P<chrom>.+):(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)", re.ASCII | re.DOTALL)
_NAMED = 3  # regions that a message names


class NoSuchRegionError(UserError, KeyError):
    """The score file has no such region; the text says which regions it has."""

    def __str__(self) -> str:
        """Return the text; KeyError by itself would return the text in quotes."""
        return str(self.args[0])


@dataclass(frozen=True)
class Found:
    """A row of the score file, and the part of its window that was asked for: None for the whole window."""

    row: int
    part: tuple[int, int] | None = None


def find_row(row: int, n_rows: int, what: str) -> Found:
    """Return the row of this number; negative numbers count from the end.

    Raises
    ------
    NoSuchRegionError
    """
    if not -n_rows <= row < n_rows:
        rows = f"rows 0 to {n_rows - 1:,}" if n_rows else "no rows"
        raise NoSuchRegionError(f"{what} has no row {row}; it has {rows}")
    return Found(row % n_rows)


def first_rows(regions: list[Region]) -> dict[str, int]:
    """Return the first row of each name."""
    return {region.name: row for row, region in reversed(list(enumerate(regions)))}


def find(wanted: str, rows: Mapping[str, int], regions: list[Region], what: str) -> Found:
    """Return the first region of this name, or the region that covers a place such as "chr1:100-300".

    Parameters
    ----------
    wanted : str
        A name, or a place: 0-based and half-open, as in `regions/start` and `regions/end`. Of several windows
        that cover the place, the one counts whose centre is nearest to the place's centre.
    rows : mapping of str to int
        The rows from `first_rows`.
    regions : list of Region, [N]
    what : str
        The score file, as messages name it.

    Raises
    ------
    NoSuchRegionError
        If there is no such region.
    """
    if wanted in rows:
        return Found(rows[wanted])
    match = _PLACE.fullmatch(wanted)
    start, end = _ends(match) if match else (0, 0)
    if match is None or start >= end:
        some = ", ".join(printed(region.name) for region in regions[:_NAMED])
        has = f"its {len(regions):,} regions are {some}" + (", ..." if len(regions) > _NAMED else "")
        raise NoSuchRegionError(
            f"{what} has no region named {printed(wanted)!r}; {has if regions else 'it has no regions'}"
        )
    there = [row for row, region in enumerate(regions) if region.chrom == match["chrom"]]
    covering = [row for row in there if regions[row].start <= start and end <= regions[row].end]
    if not covering:
        nearest = _nearest(there, regions, match["chrom"], start, end)
        raise NoSuchRegionError(f"{what} has no region that covers {printed(wanted)}; {nearest}")
    row = min(covering, key=lambda row: abs(regions[row].start + regions[row].end - start - end))
    return Found(row, (start, end))


def _ends(match: re.Match[str]) -> tuple[int, int]:
    """Return start and end of a place; (0, 0) if they do not fit 64 bits."""
    start, end = (coordinate(match[key].replace(",", "")) for key in ("start", "end"))
    return (0, 0) if start is None or end is None else (start, end)


def _nearest(there: list[int], regions: list[Region], chrom: str, start: int, end: int) -> str:
    """Return the nearest region of the chromosome, as the end of a message."""
    if there:
        region = regions[min(there, key=lambda row: max(regions[row].start - start, end - regions[row].end))]
        place = f"{printed(region.chrom)}:{region.start}-{region.end}"
        return f"the nearest is {printed(region.name)} at {place}"
    chroms = list(dict.fromkeys(region.chrom for region in regions))
    some = ", ".join(map(printed, chroms[:_NAMED])) + (", ..." if len(chroms) > _NAMED else "")
    return f"it has no region on {printed(chrom)}, but on {some}" if chroms else "it has no regions"
