"""Which row of a score file is meant by a name, a place or a number; anything but one row is an error.

`deeplift plot` and `load_scores` search alike. They differ in how they read regions (streamed from the file,
or held in memory) and in what messages advise (`Ways`).
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.options.rows import Locus
from deeplift_cli.sequences.names import ChromosomeNames, printed
from deeplift_cli.sequences.records import Region

_NAMED = 3  # regions that a message names
_SHOWN = 200  # characters of an unknown name that a message shows
COMPARED = 20_000  # names that are compared with a misspelt one, which takes some 10 us each


class RegionError(UserError, KeyError):
    """Not one row is meant; the text says which rows there are."""

    def __str__(self) -> str:
        """Return the text; KeyError by itself would return the text in quotes."""
        return str(self.args[0])


class NoSuchRegionError(RegionError):
    """The score file has no such region."""


class SeveralRegionsError(RegionError):
    """Several regions of the score file fit; the text names some of them and says how to choose."""


@dataclass(frozen=True)
class Ways:
    """How messages tell the user to choose a row.

    Attributes
    ----------
    by_row, by_name : str
        The ways by the row's number and by its name.
    this_row, this_place : str
        The text that the user gives; the row or the place stands where the text has {}.
    """

    by_row: str
    by_name: str
    this_row: str
    this_place: str


def check_row(row: int, n_rows: int, path: Path) -> None:
    """Check that there is a row of this number, from 0.

    Raises
    ------
    NoSuchRegionError
    """
    if 0 <= row < n_rows:
        return
    if not n_rows:
        raise NoSuchRegionError(f"score file {path} has no regions at all")
    raise NoSuchRegionError(
        f"score file {path} has no row {row:,}: its {n_rows:,} rows are numbered from 0 to {n_rows - 1:,}, "
        "as the lines of its .bed file"
    )


def no_such_name(name: str, names: Sequence[str], n_rows: int, path: Path) -> NoSuchRegionError:
    """Return the error about an unknown name, which names similar names.

    Parameters
    ----------
    name : str
    names : sequence of str
        The names of the first rows, of which `COMPARED` are compared.
    n_rows : int
    path : Path
    """
    some = ", ".join(map(printed, names[:_NAMED])) + (", ..." if n_rows > _NAMED else "")
    similar = similar_names(name, names[:COMPARED])
    return NoSuchRegionError(
        f"score file {path} has no region named {name[:_SHOWN]!r}; "
        + (f"its {n_rows:,} regions are {some}" if names else "it has no regions at all")
        + (f"; similar names are {', '.join(map(printed, similar))}" if similar else "")
    )


def similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Return at most three names that may be meant: equal but for case, containing the name, or similar."""
    folded = name.casefold()
    containing = (known for known in names if folded and folded in known.casefold())
    near = difflib.get_close_matches(name, names, _NAMED)
    same = (known for known in names if known.casefold() == folded)
    return list(dict.fromkeys((*islice(same, _NAMED), *near, *islice(containing, _NAMED))))[:_NAMED]


def row_named(
    name: str, rows: Sequence[int], regions: Callable[[], Iterable[Region]], path: Path, ways: Ways
) -> int:
    """Return the only row of a name.

    Parameters
    ----------
    name : str
    rows : sequence of int
        The rows that have the name, at least one.
    regions : callable
        Returns all regions of the file in order; called where a message names some.
    path : Path
    ways : Ways

    Raises
    ------
    SeveralRegionsError
    """
    return _one(rows, regions, f"the name {name[:_SHOWN]!r}", path, ways.by_row)


def row_at(wanted: Locus, regions: Callable[[], Iterable[Region]], path: Path, ways: Ways) -> int:
    """Return the only row whose window is a place; or, if there is none, the only row that covers the place.

    Parameters
    ----------
    wanted : Locus
    regions : callable
        Returns all regions of the file in order.
    path : Path
    ways : Ways

    Raises
    ------
    NoSuchRegionError
        If no window covers the place; the message names the nearest.
    SeveralRegionsError
    """
    exact: list[int] = []
    covering: list[int] = []
    largest: tuple[int, int, Region] | None = None  # the largest overlap in bp, its row and region
    nearest: tuple[int, Region] | None = None  # the distance between the centres, doubled
    chroms: dict[str, None] = {}
    for row, region in enumerate(regions()):
        chroms[region.chrom] = None
        if region.chrom != wanted.chrom:
            continue
        if (region.start, region.end) == (wanted.start, wanted.end):
            exact.append(row)
        if region.start <= wanted.start and wanted.end <= region.end:
            covering.append(row)
        overlap = min(region.end, wanted.end) - max(region.start, wanted.start)
        if overlap > (0 if largest is None else largest[0]):
            largest = overlap, row, region
        distance = abs(region.start + region.end - wanted.start - wanted.end)
        if nearest is None or distance < nearest[0]:
            nearest = distance, region
    if exact or covering:
        return _one(exact or covering, regions, str(wanted), path, f"{ways.by_name} or {ways.by_row}")
    if largest is not None:
        raise NoSuchRegionError(_covered_in_part(wanted, *largest[1:], path, ways))
    if nearest is not None:
        raise NoSuchRegionError(
            f"no region of score file {path} covers all of {printed(str(wanted))}; the nearest on "
            f"{printed(wanted.chrom)} is {_described(nearest[1])}"
        )
    if not chroms:
        raise NoSuchRegionError(f"score file {path} has no regions at all")
    names = ChromosomeNames(chroms).compare(printed(wanted.chrom), "there is none on", "its regions are on")
    raise NoSuchRegionError(f"no region of score file {path} covers {printed(str(wanted))}: {names}")


def _covered_in_part(wanted: Locus, row: int, region: Region, path: Path, ways: Ways) -> str:
    """Return a message with what can be shown of a place that no window covers, such as a whole peak."""
    place = f"{printed(region.chrom)}:{max(region.start, wanted.start)}-{min(region.end, wanted.end)}"
    return (
        f"no region of score file {path} covers all of {printed(str(wanted))}; a part of it is in "
        f"{_described(region)}: give {ways.this_place.format(place)} for the part, or "
        f"{ways.this_row.format(row)} for the whole window"
    )


def _one(
    rows: Sequence[int], regions: Callable[[], Iterable[Region]], what: str, path: Path, remedy: str
) -> int:
    """Return the only row, or refuse several."""
    if len(rows) == 1:
        return rows[0]
    some = set(rows[:_NAMED])
    named = [f"{row} ({_described(region)})" for row, region in enumerate(regions()) if row in some]
    raise SeveralRegionsError(
        f"{len(rows):,} rows of score file {path} fit {what}: {', '.join(named)}"
        + (", ..." if len(rows) > _NAMED else "")
        + f"; say which by {remedy}"
    )


def _described(region: Region) -> str:
    place = str(Locus(printed(region.chrom), region.start, region.end))
    # The name of a region without one is its place in the file of regions, which the window need not equal.
    return place if region.name in (region.chrom, place) else f"{printed(region.name)}, window {place}"
