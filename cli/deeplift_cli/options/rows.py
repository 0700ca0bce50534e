"""Which row of a score file a user means: by name, by a region of the genome, or by its number."""

import re
from dataclasses import dataclass

_LOCUS = re.compile(r"(?P<chrom>.+):(?P<start>-?\d[\d,]*)-(?P<end>\d[\d,]*)", re.ASCII | re.DOTALL)
_SPAN = re.compile(r"(?P<start>-?\d[\d,]*)-(?P<end>\d[\d,]*)", re.ASCII)
_MOST_DIGITS = 18  # digits of a coordinate that always fit 64 bits


@dataclass(frozen=True)
class Locus:
    """A stretch of a chromosome, or of a record without coordinates.

    Attributes
    ----------
    chrom : str
        The chromosome, or the record's name.
    start, end : int
        0-based and half-open, as in BED.
    """

    chrom: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start:,}-{self.end:,}"


Wanted = str | Locus | int  # a region's name, a place, or the number of a row from 0


def parse_locus(text: str) -> Locus:
    """Parse a region such as chr1:100-300 or chr1:1,000-1,200, 0-based and half-open.

    Raises
    ------
    ValueError
        If the text is no region, or the region is empty.
    """
    match = _LOCUS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not a region such as chr1:100-300")
    return Locus(match["chrom"], *_span(match, text))


def parse_span(text: str) -> tuple[int, int]:
    """Parse a stretch such as 100-160 or 1,000-1,060, 0-based and half-open.

    Raises
    ------
    ValueError
        If the text is no stretch, or the stretch is empty.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not START-END, as in 100-160")
    return _span(match, text)


def _span(match: re.Match[str], text: str) -> tuple[int, int]:
    if max(len(match["start"]), len(match["end"])) > _MOST_DIGITS:
        raise ValueError(f"{text[:60]!r} has a coordinate of more than {_MOST_DIGITS} digits")
    start, end = (int(match[key].replace(",", "")) for key in ("start", "end"))
    if end <= start:
        raise ValueError(f"{text[:60]!r} is empty: its end is not after its start")
    return start, end
