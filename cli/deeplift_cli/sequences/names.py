"""Names of records and chromosomes: the characters that they may hold, and coordinates in them."""

import re
from collections.abc import Iterable
from itertools import islice

LONGEST_NAME = 2**16
_LONGEST_SHOWN = 200  # characters of a name in tables and messages, which a line must hold

_SPAN = re.compile(
    r"(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)"
    r"(?:\((?P<strand>[-+.]?)\))?",  # bedtools getfasta -s writes chr1:100-200(-)
    re.ASCII,
)
_MOST_DIGITS = 18  # digits of a coordinate that always fit 64 bits
# Control characters of ASCII and of Latin-1, Unicode's line ends, halves of surrogate pairs. A text in HDF5
# ends at a NUL, a line of BED ends at a line end, and a terminal obeys the other characters.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def name_fault(*names: str) -> str | None:
    """Return why outputs cannot hold one of these names, as the end of a sentence; None if they can."""
    for name in names:
        control = _CONTROLS.search(name)
        if control is not None:
            return f"has the control character {control[0]!a} in a name, which outputs cannot hold"
        if len(name) > LONGEST_NAME:
            return f"has a name of more than {LONGEST_NAME:,} characters"
    return None


def printed(name: str) -> str:
    """Return a name for tables and messages: control characters are escaped, and a long name is cut."""
    return _CONTROLS.sub(lambda control: ascii(control[0])[1:-1], _cut(name))


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN] + "..."


def coordinate(digits: str) -> int | None:
    """Return a coordinate from digits, perhaps after a minus sign; None if it does not fit 64 bits."""
    size = digits.lstrip("-").lstrip("0") or "0"  # Python refuses thousands of digits, even if they are zeros
    if len(size) > _MOST_DIGITS:
        return None
    return -int(size) if digits.startswith("-") else int(size)


def parse_coordinates(name: str, length: int) -> tuple[str, int, int, str] | None:
    """Read coordinates from a record's name, if they agree with the record's length.

    Two conventions are common and look alike; the record's length decides between them: `bedtools getfasta`
    writes 0-based half-open intervals (length = end - start), `samtools faidx` 1-based closed intervals
    (length = end - start + 1).

    Parameters
    ----------
    name : str
        Such as "chr1:100-200", "chr1:100-200(-)" or "peak7::chr1:100-200(+)", as bedtools getfasta -name
        writes it.
    length : int
        The record's number of letters.

    Returns
    -------
    tuple of (chrom, start, end, strand), or None
        0-based half-open coordinates; strand "." if the name has no strand. The value is None if the name has
        no coordinates, or they do not fit the length or 64 bits.
    """
    # The name is split instead of matched by one regular expression, which would take quadratic time at
    # 50,000 colons.
    front, _, span = name.rpartition(":")
    match = _SPAN.fullmatch(span)
    if not front or match is None:
        return None
    start, end = (coordinate(match[key].replace(",", "")) for key in ("start", "end"))
    if start is None or end is None:
        return None
    if end - start + 1 == length:
        start -= 1
    elif end - start != length:
        return None
    marker = front.rfind("::", 0, len(front) - 1)  # the chromosome follows the marker, and is not empty
    chrom = front if marker < 0 else front[marker + 2 :]
    return (chrom, start, end, match["strand"] or ".") if start >= 0 else None


class ChromosomeNames:
    """Known chromosome names, for messages about a name that may be spelled otherwise.

    Parameters
    ----------
    names : iterable of str
        The names that exist.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spelling = {_bare(name): name for name in names}

    def compare(self, name: str, theirs: str, ours: str) -> str:
        """Return a text with an unknown name and the known name that is most likely meant.

        Parameters
        ----------
        name : str
            The unknown name.
        theirs, ours : str
            The words before the unknown and the known name ("regions say", "the genome has").
        """
        similar = self._spelling.get(_bare(name))
        if similar is not None:
            return f"{theirs} {_cut(name)!r}, {ours} {_cut(similar)!r}"
        some = ", ".join(repr(_cut(known)) for known in islice(self._spelling.values(), 3))
        return f"{theirs} {_cut(name)!r}, {ours} {some or 'none'}{', ...' if len(self._spelling) > 3 else ''}"


def _bare(name: str) -> str:
    bare = name.lower().removeprefix("chr")
    return "m" if bare == "mt" else bare
