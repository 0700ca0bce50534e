"""Chromosome sizes, and a check that windows lie on their chromosomes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.names import ChromosomeNames, coordinate, name_fault
from deeplift_cli.sequences.records import Region
from deeplift_cli.sequences.text import columns_of, open_text, short_lines, shorten

_WHAT = "chromosome sizes file"
_LARGEST = 2**32 - 1  # bigWig's coordinates have 32 bits
_SIZE = re.compile(r"\d+", re.ASCII)


def read_chrom_sizes(path: Path) -> dict[str, int]:
    """Read names and lengths from the first two columns; further ones (those of a .fai) are ignored.

    Raises
    ------
    UserError
        If the file cannot be read or names no chromosome; with the line's number, if a line has no positive
        integer of 32 bits in its second column, a name with control characters, a chromosome of an earlier
        line, or more than a million characters.
    """
    sizes = dict[str, int]()
    with open_text(path, _WHAT) as file:
        for number, line in short_lines(file, f"{_WHAT} {path}"):
            columns = columns_of(line)
            if not any(columns) or line.lstrip("\ufeff").startswith("#"):
                continue
            where = f"{_WHAT} {path}, line {number}"
            if len(columns) < 2:
                raise UserError(f"{where} has one column; it needs two: chromosome, length")
            name, text = columns[:2]
            size = coordinate(text) if _SIZE.fullmatch(text) else None
            if size is None or not 0 < size <= _LARGEST:
                raise UserError(
                    f"{where} has {shorten(text)} where the length belongs, a positive integer below 2^32"
                )
            if fault := name_fault(name):
                raise UserError(f"{where} {fault}")
            if name in sizes:
                raise UserError(f"{where} repeats {shorten(name)}")
            sizes[name] = size
    if not sizes:
        raise UserError(f"{_WHAT} {path} holds no chromosomes")
    return sizes


def clipped(region: Region, size: int | None) -> tuple[int, int]:
    """Return the part of a window that lies on its chromosome, whose length in bp may be unknown."""
    return max(region.start, 0), region.end if size is None else min(region.end, size)


def may_pass_ends(attrs: Mapping[str, Any]) -> bool:
    """Return whether windows may have been padded with N: by `--edge pad`, or FASTA records by `--length`."""
    fitted = all(attrs.get(name, "null") != "null" for name in ("length", "fasta"))
    return fitted or attrs.get("edge") == "pad"


class Placement:
    """Checks that windows lie on known chromosomes.

    Parameters
    ----------
    chrom_sizes : mapping of str to int
        Length of each chromosome in bp.
    padded : bool
        True if windows may pass the ends of their chromosome, on which only their centre must lie.
    """

    def __init__(self, chrom_sizes: Mapping[str, int], *, padded: bool = False) -> None:
        self._padded = padded
        self._sizes = chrom_sizes
        self._names = ChromosomeNames(chrom_sizes)

    def check(self, region: Region) -> None:
        """Check one window; the check is cheap enough for each record before it is scored.

        The chromosome of a record without coordinates is the record's name, so that such a record passes only
        if a chromosome has the same name and is long enough.

        Raises
        ------
        UserError
            If the window lies on no known chromosome or outside its chromosome; the message says what to do.
        """
        size = self._sizes.get(region.chrom)
        if size is None and region.chrom == region.name and (region.start == 0 or self._padded):
            raise UserError(
                f"record {region.name!r} has no coordinates, which bigWig needs: name records like "
                "chr1:100-200, or give --genome with --regions"
            )
        if size is None:
            compared = self._names.compare(region.chrom, "regions say", "the chromosome sizes have")
            raise UserError(f"bigWig needs the size of every chromosome: {compared}; make the names agree")
        centre = (region.start + region.end) // 2
        first, last = (centre, centre + 1) if self._padded else (region.start, region.end)
        if first < 0 or last > size:
            raise UserError(
                f"window {region.chrom}:{region.start}-{region.end} ({region.name}) lies outside its "
                f"chromosome, which has {size} bp by the chromosome sizes; are they of the same genome?"
            )
