"""The regions that the page lists, with their logos: chosen, packed, and within the page's size."""

import base64
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.report.contributions import Contributions
from deeplift_cli.report.numbers import Numbers
from deeplift_cli.report.packing import PackedRow
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.records import Region

LISTED = 50_000  # regions, beside those of the seqlets that are shown
LARGEST_TABLE = 4_000_000  # bytes of the table before base64


@dataclass(frozen=True)
class Listing:
    """The regions of the page, ordered by rank.

    Attributes
    ----------
    rows : sequence of int
        Their rows in the score file.
    logos : dict of int to PackedRow
        The logos, by row.
    """

    rows: Sequence[int]
    logos: dict[int, PackedRow]


def priorities(numbers: Numbers, always: Iterable[int]) -> dict[int, int]:
    """Return the rows that may be listed, and the order in which they get a logo while there is space.

    Parameters
    ----------
    numbers : Numbers
    always : iterable of int
        Rows that are listed whatever their rank, and get their logos first.
    """
    ranks = numbers.ranks
    first = sorted(set(always), key=lambda row: int(ranks[row]))
    rows = dict.fromkeys([*first, *numbers.order[:LISTED].tolist()])
    return {row: place for place, row in enumerate(rows)}


def choose(numbers: Numbers, found: Contributions, always: Iterable[int]) -> Listing:
    """List as many regions as the table has space for, the best first.

    Parameters
    ----------
    numbers : Numbers
    found : Contributions
        The result of the pass with `priorities`.
    always : iterable of int
        The argument of `priorities`.
    """
    kept = set(always)
    order = {priority: row for row, priority in priorities(numbers, kept).items()}
    logos = {order[priority]: row for priority, row in found.best.rows().items()}
    rows = [row for row in numbers.order.tolist() if row in found.regions]
    while True:
        listing = Listing(rows, {row: logos[row] for row in rows if row in logos})
        if len(rows) <= max(1, len(kept)) or len(_deflated(listing, numbers, found, None)) <= LARGEST_TABLE:
            return listing
        half = set(rows[: len(rows) // 2]) | kept
        rows = [row for row in rows if row in half]


def table_text(
    listing: Listing, numbers: Numbers, found: Contributions, noise: npt.NDArray[np.float64] | None
) -> str:
    """Return the table as JSON, in raw deflate and base64.

    Columns are lists with an item for each region: row, rank, name, chromosome (a number in the list
    `chroms`, -1 where the record has no coordinates), start, strand, numbers, the bytes of the logo (0 where
    there is none) and its largest contribution. Columns of numbers that the file does not have are null.
    """
    return base64.b64encode(_deflated(listing, numbers, found, noise)).decode()


def logo_text(listing: Listing) -> str:
    """Return the logos one after the other, in base64; each begins at a group of four characters."""
    content = (listing.logos[row].padded for row in listing.rows if row in listing.logos)
    return base64.b64encode(b"".join(content)).decode()


def _deflated(
    listing: Listing, numbers: Numbers, found: Contributions, noise: npt.NDArray[np.float64] | None
) -> bytes:
    text = json.dumps(_columns(listing, numbers, found, noise), separators=(",", ":"), allow_nan=False)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(text.encode()) + deflate.flush()


def _columns(
    listing: Listing, numbers: Numbers, found: Contributions, noise: npt.NDArray[np.float64] | None
) -> dict[str, Any]:
    rows = listing.rows
    places = np.asarray(rows, np.int64)
    regions = [found.regions[row] for row in rows]
    chroms = dict.fromkeys(filter(None, map(_chrom, regions)))
    place_of: dict[str | None, int] = {None: -1} | {name: place for place, name in enumerate(chroms)}
    logos = [listing.logos.get(row) for row in rows]
    against = numbers.against_references
    return {
        "row": list(rows),
        "rank": (numbers.ranks[places] + 1).tolist(),
        "name": [printed(region.name) for region in regions],
        "chroms": list(map(printed, chroms)),
        "chrom": [place_of[_chrom(region)] for region in regions],
        "start": [region.start for region in regions],
        "strand": "".join(region.strand for region in regions),
        "prediction": _reals(numbers.prediction[places]),
        "output": _reals(numbers.output[places]),
        "difference": None if against is None else _reals(against.difference[places]),
        "noise": None if noise is None else _reals(noise[places]),
        "error": None if against is None else _reals(against.error[places]),
        "size": [0 if logo is None else len(logo.content) for logo in logos],
        "largest": [0 if logo is None else _real(logo.largest) for logo in logos],
    }


def _chrom(region: Region) -> str | None:
    """Return the chromosome of a region; None for a record without coordinates, which is its own."""
    return None if region.chrom == region.name else region.chrom


def _reals(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [_real(value) for value in values.tolist()]


def _real(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
