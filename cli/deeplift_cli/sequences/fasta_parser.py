"""Parser of FASTA files, with one record in memory at a time, and of too long records one piece at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.sequences.letters import foreign_letter, foreign_reason, is_sequence, normalise
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.notes import Note, say_nothing
from deeplift_cli.sequences.records import BEGINNING, Place
from deeplift_cli.sequences.text import open_text, pieces, shorten

FASTA = "FASTA file"
_BLANKS = " \t\r\n\v\f\ufeff"  # the last is the byte-order mark, with which some editors begin a file
_HEAD = 2**12  # characters read at a time in search of the first heading
_DROPPED_FROM = 2**16  # letters of a too long record that are examined and dropped at a time


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a sequence, which is the line before it.

    Attributes
    ----------
    text : str
        The text after ">", of fewer than the first 262,144 characters of the line.
    line : int
        The number of the line, from 1.
    """

    text: str
    line: int

    def first_word(self, number: int) -> str:
        """Return the name as samtools, bedtools and pyfaidx read it; without a name, the record's number."""
        words = self.text.split(maxsplit=1)
        return words[0] if words else f"record_{number}"

    def name(self, number: int) -> str:
        """Return the first word; if a blank follows ">", so that no word follows at once, the whole text."""
        return " ".join(self.text.split()) if self.is_whole_name else self.first_word(number)

    @property
    def is_whole_name(self) -> bool:
        """True if the name is the whole text."""
        return self.text[:1].isspace() and not self.text.isspace()


@dataclass(frozen=True, slots=True)
class FastaEntry:
    """A record of a FASTA file.

    Attributes
    ----------
    name : str
    line : int
        The number of the heading's line.
    length : int
        Number of letters.
    letters : bytes
        Letters in upper case, U as T; empty if the record is longer than the caller wanted.
    foreign : str or None
        The reason to skip the record, if it has a letter that stands for no nucleotide.
    """

    name: str
    line: int
    length: int
    letters: bytes
    foreign: str | None


def read_fasta(
    path: Path, *, longest: int, note: Note = say_nothing, start: Place = BEGINNING
) -> Iterator[FastaEntry]:
    """Parse a FASTA file into records: see `read_pieces`.

    Parameters
    ----------
    path : Path
    longest : int
        Records with more letters are yielded without letters, and are never in memory as a whole.
    note : callable
        Called at the first name that is a whole heading, with the rest of a line that begins with the file's
        path.
    start : Place
        The record to begin with.

    Raises
    ------
    UserError
        As `read_pieces`.
    """
    letters: _Letters | None = None
    name, line, number, noted = "", 0, start.number, False
    for item in read_pieces(path, FASTA, start):
        if isinstance(item, str):
            assert letters is not None
            letters.add(item)
            continue
        if letters is not None:
            yield letters.entry(name, line)
        number += 1
        name, line, letters = item.name(number), item.line, _Letters(longest)
        if item.is_whole_name and not noted:
            noted = True
            note(
                f", line {line}: a blank follows '>', where the name belongs; the whole heading is taken for "
                f"the name, {shorten(name)}"
            )
    if letters is not None:
        yield letters.entry(name, line)


class _Letters:
    """Collects the letters of one record.

    Parameters
    ----------
    longest : int
        Number of letters to keep; further letters are counted and dropped.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._parts = list[str]()
        self._length = 0  # number of all letters
        self._examined = 0
        self._foreign: str | None = None

    def add(self, text: str) -> None:
        """Add the next letters."""
        self._parts.append(text)
        self._length += len(text)
        if self._length > self._longest and self._length - self._examined >= _DROPPED_FROM:
            self._examine()

    def _examine(self) -> bytes:
        """Search the collected letters for those that stand for no nucleotide; return and forget them all."""
        letters = "".join(self._parts).encode("ascii")
        place = foreign_letter(letters) if self._foreign is None else None
        if place is not None:
            self._foreign = foreign_reason(letters[place : place + 1], self._examined + place)
        self._examined = self._length
        self._parts.clear()
        return letters

    def entry(self, name: str, line: int) -> FastaEntry:
        """Return the record with all added letters."""
        letters = self._examine()
        wanted = normalise(letters) if self._length <= self._longest else b""
        return FastaEntry(name, line, self._length, wanted, self._foreign)


def read_pieces(path: Path, what: str, start: Place = BEGINNING) -> Iterator[Heading | str]:
    """Parse a FASTA file, plain or gzip, with any line ends; blank lines and blanks in lines are ignored.

    Parameters
    ----------
    path : Path
    what : str
        The name of the kind of file in messages.
    start : Place
        The record to begin with.

    Yields
    ------
    Heading or str
        Each heading, followed by the record's letters in pieces of fewer than 262,144.

    Raises
    ------
    UserError
        If the file cannot be read, does not begin with a heading, or has anything but letters, * and - in a
        sequence.
    """
    if start == BEGINNING:
        require_heading(path, what)
    with open_text(path, what, start.offset) as file:
        name, count, in_heading = "", start.number, False
        for number, piece, begins in pieces(file, start.line):
            if not begins and in_heading:
                continue
            text = piece.strip(_BLANKS)
            in_heading = begins and text.startswith(">")
            if in_heading:
                count += 1
                heading = Heading(text[1:], number)
                name = heading.name(count)
                yield heading
            elif text and count == start.number:
                raise UserError(
                    f"{what} {path} has changed while it was read: line {number} was the heading of record "
                    f"{count + 1}, and begins with {shorten(text)} now"
                )
            elif text:
                yield _checked(text, what, path, count, name, number)


def require_heading(path: Path, what: str) -> None:
    """Check that a file's first line that is not blank is a FASTA heading.

    Raises
    ------
    UserError
        If the file cannot be read, is blank, or begins with something else.
    """
    with open_text(path, what) as file:
        for number, piece, begins in pieces(file, size=_HEAD):
            text = piece.strip(_BLANKS)
            if text.startswith(">") and begins:
                return
            if text:
                raise UserError(
                    f"{what} {path} is not a FASTA file: line {number} begins with {shorten(text)}, not '>'"
                    f"{look_alike(path)}"
                )
    raise UserError(f"{what} {path} holds nothing but blank lines")


def _checked(text: str, what: str, path: Path, count: int, name: str, number: int) -> str:
    if is_sequence(text):
        return text
    text = "".join(text.split())
    wrong = next((letter for letter in text if not is_sequence(letter)), None)
    if wrong is not None:
        raise UserError(
            f"{what} {path}, record {count} ({printed(name[:100])}), line {number} holds {wrong!a}; "
            "a sequence is made of letters, '*' and '-' only"
        )
    return text
