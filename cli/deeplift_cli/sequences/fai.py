"""Check that the .fai index of a FASTA file (samtools faidx) is right.

pyfaidx, which reads and makes such indexes, does not check them.
"""

from collections.abc import Mapping
from typing import Protocol

from deeplift_cli.sequences.random_access import Content

_LONGEST_GAP = 2**20  # bytes between two sequences, with a heading and blank lines
_BLANKS = b" \t\r\n"
_LINE_ENDS = {0: b"", 1: b"\n", 2: b"\r\n"}


class Entry(Protocol):
    """The place of one sequence in the file, as pyfaidx returns it.

    Attributes
    ----------
    rlen : int
        Number of letters.
    offset : int
        Byte of the first letter.
    lenc, lenb : int
        Number of letters, and number of bytes with the line's end, in each line but the last.
    """

    @property
    def rlen(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def lenc(self) -> int: ...
    @property
    def lenb(self) -> int: ...


def is_true(index: Mapping[str, Entry], content: Content) -> bool:
    """Return whether an index fits its FASTA: all bytes between two sequences are the heading of the second.

    The check covers names, offsets, lengths and the whole file, with three reads for each sequence. The check
    does not find a line in the middle of a sequence that is longer than in the index while another line is
    shorter; `Genome.fetch` finds such lines when it reads them.

    Parameters
    ----------
    index : mapping of str to Entry
        The entries by name, in the index's order.
    content : Content
        The content of the FASTA.

    Raises
    ------
    OSError, ValueError, RuntimeError, struct.error, zlib.error
        If the file cannot be read: see `Content.read`.
    """
    end = 0
    for name, entry in index.items():
        if not _is_possible(entry, end, content.size):
            return False
        if not _is_heading(content.read(end, entry.offset - end), name, is_first=end == 0):
            return False
        line_end = _LINE_ENDS[entry.lenb - entry.lenc]
        if entry.rlen > entry.lenc and not line_end:
            return False
        if entry.rlen > entry.lenc and not _ends_a_line(content, entry.offset + entry.lenc, line_end):
            return False
        end = _end(entry)
        if entry.rlen and not _ends_a_line(content, end, b""):
            return False
    left = content.size - end
    return 0 <= left <= _LONGEST_GAP and _begins_with_line_end(content.read(end, left)) and bool(index)


def _end(entry: Entry) -> int:
    """Return the byte after the last letter."""
    if not entry.rlen:
        return entry.offset
    line, column = divmod(entry.rlen - 1, entry.lenc)
    return entry.offset + line * entry.lenb + column + 1


def _is_possible(entry: Entry, after: int, size: int) -> bool:
    """Return whether an entry's numbers fit a sequence after the byte `after` in a file of this size."""
    if entry.lenb - entry.lenc not in _LINE_ENDS or entry.rlen < 0 or (entry.rlen and entry.lenc <= 0):
        return False
    return after < entry.offset <= after + _LONGEST_GAP and _end(entry) <= size


def _is_heading(gap: bytes, name: str, *, is_first: bool) -> bool:
    """Return whether the bytes between two sequences are a heading of this name, and perhaps blank lines."""
    heading = gap.strip(_BLANKS)
    words = heading[1:].split(maxsplit=1)
    return (
        heading.startswith(b">")
        and not heading[1:2].isspace()
        and b"\n" not in heading
        and b"\r" not in heading
        and gap.endswith(b"\n")
        and (is_first or gap.startswith((b"\n", b"\r\n", b">")))
        and words[:1] == [name.encode()]
    )


def _ends_a_line(content: Content, place: int, line_end: bytes) -> bool:
    """Return whether this line end is at a place of the file, directly after a letter.

    pyfaidx counts blanks at the ends of lines as letters, and carriage returns if the first line has none.
    """
    found = content.read(place - 1, 1 + len(line_end))
    return found[1:] == line_end and bool(found[:1].strip(_BLANKS))


def _begins_with_line_end(rest: bytes) -> bool:
    return not rest.strip(_BLANKS) and not rest[:1].strip(b"\r\n")
