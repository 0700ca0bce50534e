"""The .fai index of a FASTA (samtools faidx): read, checked against its FASTA, made, and used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.sequences.random_access import RandomAccess
from deeplift_cli.stopping import check_stopped

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_LARGEST_INDEX = 2**28  # bytes; that of a genome in two million pieces has 2**26
_LONGEST_GAP = 2**20  # between two sequences: a heading, blank lines
_LONGEST_LINE_READ_WHOLE = 2**12
_BLANKS = b" \t\r\n"
_LINE_ENDS = {0: b"", 1: b"\n", 2: b"\r\n"}
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b"*-"
_PIECE = 2**20
_READ_AHEAD = 2**22


class MisfitError(Exception):
    """Lines of the FASTA are not where the index says."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Where one sequence is.

    Attributes
    ----------
    length : int
        Number of letters.
    offset : int
        Byte of the first one.
    bases, width : int
        Letters in each line but the last, and bytes, with the line's end.
    """

    length: int
    offset: int
    bases: int
    width: int

    @property
    def line_end(self) -> bytes:
        """What ends a line."""
        return _LINE_ENDS[self.width - self.bases]

    @property
    def end(self) -> int:
        """The byte after the last letter."""
        return self.byte(self.length - 1) + 1 if self.length else self.offset

    def byte(self, position: int) -> int:
        """Where the letter at this position is."""
        line, column = divmod(position, self.bases)
        return self.offset + line * self.width + column

    def letters(self, file: RandomAccess, start: int, end: int) -> bytes:
        """Letters of an interval within the sequence, as they stand in the file.

        Raises
        ------
        MisfitError
            If a line in it ends elsewhere than the index says. Whole lines are read, unless they are very
            long, so that a line is told that is too short before the interval or after it.
        DamagedError, OSError
            If the file cannot be read.
        """
        first = start
        last = end
        if self.bases <= _LONGEST_LINE_READ_WHOLE:
            first -= start % self.bases
            last = min(end + -end % self.bases, self.length)
        begin = self.byte(first)
        found = file.read(begin, self.byte(last - 1) + 1 - begin)
        # The first piece is what is left of the first line.
        place = min(self.bases - first % self.bases, last - first)
        parts = [found[:place]]
        while place < len(found):
            if found[place : place + len(self.line_end)] != self.line_end:
                raise MisfitError
            place += len(self.line_end)
            parts.append(found[place : place + self.bases])
            place += self.bases
        letters = b"".join(parts)
        if len(letters) != last - first or b"\n" in letters or b"\r" in letters or b">" in letters:
            raise MisfitError
        return letters[start - first : end - first]


def read_fai(path: Path) -> dict[str, Sequence] | None:
    """Parse an index; None for what is none, or is of more than 256 MiB.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if path.stat().st_size > _LARGEST_INDEX:
        return None
    sequences = dict[str, Sequence]()
    try:
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None
    for line in lines:
        name, *numbers = line.rstrip("\r").split("\t")
        if len(numbers) != 4 or not all(map(_NUMBER.fullmatch, numbers)) or name in sequences or not name:
            return None
        sequences[name] = Sequence(*map(int, numbers))
    return sequences


def write_fai(path: Path, sequences: Mapping[str, Sequence]) -> None:
    """Write an index to a new file.

    Raises
    ------
    OSError
        If the file exists or cannot be written.
    """
    with path.open("x", encoding="utf-8", newline="\n") as file:
        for name, at in sequences.items():
            file.write(f"{name}\t{at.length}\t{at.offset}\t{at.bases}\t{at.width}\n")


def is_true(sequences: Mapping[str, Sequence], file: RandomAccess) -> bool:
    """Whether an index fits its FASTA: everything between two sequences is the heading of the second.

    So that names, offsets, lengths and the whole file are accounted for, at two reads for each sequence. What
    is not seen here is a line in the middle of a sequence that is longer at the cost of another;
    `Sequence.letters` tells that where it reads.

    Raises
    ------
    DamagedError, OSError
        If the file cannot be read.
    """
    end = 0
    for name, sequence in sequences.items():
        if not _is_possible(sequence, end, file.size):
            return False
        if not _is_heading(file.read(end, sequence.offset - end), name, is_first=end == 0):
            return False
        line_end = sequence.line_end
        if sequence.length > sequence.bases > 0:
            found = file.read(sequence.offset + sequence.bases, len(line_end))
            if not line_end or found != line_end:
                return False
        end = sequence.end
    left = file.size - end
    return 0 <= left <= _LONGEST_GAP and _begins_with_line_end(file.read(end, left)) and bool(sequences)


def _is_possible(sequence: Sequence, after: int, size: int) -> bool:
    """Whether the numbers can be those of a sequence after this byte in a file of this size."""
    if sequence.width - sequence.bases not in _LINE_ENDS or (sequence.length and not sequence.bases):
        return False
    return after < sequence.offset <= after + _LONGEST_GAP and sequence.end <= size


def _is_heading(gap: bytes, name: str, *, is_first: bool) -> bool:
    """Whether there is one heading, of this name, between two sequences, and blank lines at most besides."""
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


def _begins_with_line_end(rest: bytes) -> bool:
    return not rest.strip(_BLANKS) and not rest[:1].strip(b"\r\n")


def build_index(file: RandomAccess) -> dict[str, Sequence] | None:
    """Index a FASTA.

    Returns
    -------
    dict of str to Sequence, or None
        None where it takes a copy with other lines: some line of a sequence but the last is longer or shorter
        than the others or blank, or holds anything but letters, * and -; a heading has no name right after
        its ">"; two have one name; lines end with a carriage return alone.

    Raises
    ------
    DamagedError, OSError
        If the file cannot be read.
    """
    sequences = dict[str, Sequence]()
    lines = _Lines(file)
    current: _Current | None = None
    name = ""
    while line := lines.next():
        if line.startswith(b">") and (current is None or current.column == 0):
            found = _name_of(line)
            if found is None or found in sequences:
                return None
            name, current = found, _Current(lines.position)
            sequences[name] = current.sequence()
        elif current is None or not current.add(line):
            return None
        else:
            if current.takes_rows:
                current.length += current.bases * lines.skip_rows(current.bases, current.width)
            sequences[name] = current.sequence()
    return sequences or None


def _name_of(heading: bytes) -> str | None:
    """The first word of a heading, if there is one right after ">" and the heading ends as lines do."""
    text = heading.removesuffix(b"\n").removesuffix(b"\r")
    if not heading.endswith(b"\n") or b"\r" in text or text[1:2].isspace() or len(text) < 2:
        return None
    try:
        return text[1:].split(maxsplit=1)[0].decode("utf-8")
    except UnicodeDecodeError:
        return None


class _Current:
    """The sequence that is being gone through, line by line.

    Parameters
    ----------
    offset : int
        Byte where it begins.
    """

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self.length = self.bases = self.width = 0
        self.column = 0  # letters of a line whose end has not come yet
        self._has_ended = False

    @property
    def takes_rows(self) -> bool:
        """Whether whole lines of `bases` letters may follow."""
        return not self._has_ended and not self.column and self.width > self.bases

    def add(self, piece: bytes) -> bool:
        """Add a line, or a piece of one; False where an index cannot tell where its letters are."""
        letters = piece.rstrip(b"\r\n")
        ending = len(piece) - len(letters)
        if letters.translate(None, _LETTERS) or (self._has_ended and letters):
            return False
        if not piece.endswith(b"\n"):
            self.column += len(letters)
            self.length += len(letters)
            return ending == 0 and (not self.bases or self.column <= self.bases)
        column, self.column = self.column + len(letters), 0
        self.length += len(letters)
        if not self.bases:
            self.bases, self.width = column, column + ending
            return column > 0 and ending <= 2
        self._has_ended = self._has_ended or column < self.bases
        return column < self.bases or (column == self.bases and ending == self.width - self.bases)

    def sequence(self) -> Sequence:
        """What is known so far; the last line need not have an end."""
        bases = self.bases or self.column
        return Sequence(self.length, self._offset, bases, self.width or bases)


class _Lines:
    """Lines of a file, with their ends, those longer than 1 MiB in pieces; and many equal ones at once."""

    def __init__(self, file: RandomAccess) -> None:
        self._file = file
        self._data = b""
        self._place = 0  # in the data
        self._read = 0  # bytes of the file, the data's included
        self._uneven_until = 0

    @property
    def position(self) -> int:
        """Byte of the file where the next line begins."""
        return self._read - len(self._data) + self._place

    def _fill(self) -> bool:
        check_stopped()
        more = self._file.read(self._read, _READ_AHEAD)
        self._data, self._place = self._data[self._place :] + more, 0
        self._read += len(more)
        return bool(more)

    def next(self) -> bytes:
        """The next line or piece; nothing at the end."""
        while True:
            end = self._data.find(b"\n", self._place, self._place + _PIECE) + 1
            if not end and (len(self._data) - self._place >= _PIECE or not self._fill()):
                end = min(self._place + _PIECE, len(self._data))
                break
            if end:
                break
        line = self._data[self._place : end]
        self._place = end
        return line

    def skip_rows(self, bases: int, width: int) -> int:
        """Go past lines of so many letters and bytes, those that are at hand; how many they were."""
        if self.position < self._uneven_until:
            return 0
        stop = self._data.find(b">", self._place)
        rows = ((len(self._data) if stop < 0 else stop) - self._place) // width
        block = self._data[self._place : self._place + rows * width]
        line_end = _LINE_ENDS[width - bases]
        ends = [block[bases + place :: width] == bytes([sign]) * rows for place, sign in enumerate(line_end)]
        others = block.translate(None, _LETTERS)
        if not all(ends) or others != line_end * rows:
            self._uneven_until = self.position + len(block)
            return 0
        self._place += len(block)
        return rows
