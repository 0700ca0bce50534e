"""Coordinates in record names, and chromosome names that differ by a prefix only."""

import re
from collections.abc import Iterable
from itertools import islice

_COORDINATES = re.compile(
    r"(?:.*::)?"  # bedtools getfasta -name writes NAME::chr1:100-200
    r"(?P<chrom>.+):(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)"
    r"(?:\((?P<strand>[-+.]?)\))?",  # bedtools getfasta -s writes chr1:100-200(-)
    re.ASCII,
)


def parse_coordinates(name: str, length: int) -> tuple[str, int, int, str] | None:
    """Read coordinates from a record's name, if the record's length bears them out.

    Two conventions are common and look alike, so the length tells them apart: `bedtools getfasta` writes
    0-based half-open intervals (length = end - start), `samtools faidx` 1-based closed ones
    (length = end - start + 1).

    Parameters
    ----------
    name : str
        Such as "chr1:100-200", "chr1:100-200(-)" or "peak7::chr1:100-200(+)".
    length : int
        The record's number of letters.

    Returns
    -------
    tuple of (chrom, start, end, strand), or None
        0-based half-open; strand "." where none is given. None where the name has no coordinates or they do
        not fit the length.
    """
    match = _COORDINATES.fullmatch(name)
    if match is None:
        return None
    start, end = (int(match[key].replace(",", "")) for key in ("start", "end"))
    if end - start + 1 == length:
        start -= 1
    elif end - start != length:
        return None
    return (match["chrom"], start, end, match["strand"] or ".") if start >= 0 else None


class ChromosomeNames:
    """Known chromosome names, to look up one that may be spelled otherwise.

    Parameters
    ----------
    names : iterable of str
        The names that exist.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spelling = {_bare(name): name for name in names}

    def compare(self, name: str, theirs: str, ours: str) -> str:
        """Set an unknown name beside the known one that is most likely meant.

        Parameters
        ----------
        name : str
            The unknown name.
        theirs, ours : str
            What goes before each ("regions say", "the genome has").
        """
        similar = self._spelling.get(_bare(name))
        if similar is not None:
            return f"{theirs} {name!r}, {ours} {similar!r}"
        some = ", ".join(repr(known) for known in islice(self._spelling.values(), 3))
        return f"{theirs} {name!r}, {ours} {some or 'none'}{', ...' if len(self._spelling) > 3 else ''}"


def _bare(name: str) -> str:
    bare = name.lower().removeprefix("chr")
    return "m" if bare == "mt" else bare
