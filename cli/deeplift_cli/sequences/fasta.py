"""FASTA, streamed: one record in memory at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.encode import count_bases
from deeplift_cli.sequences.names import parse_coordinates
from deeplift_cli.sequences.records import Record, Region, Skipped
from deeplift_cli.sequences.text import open_text, shorten

_RNA_TO_DNA = bytes.maketrans(b"U", b"T")
_BLANKS = " \t\r\n\v\f\ufeff"  # the last is the byte-order mark that some editors put first
_SEQUENCE = re.compile(r"[A-Za-z*-]+")


@dataclass(frozen=True, slots=True)
class FastaEntry:
    """A record as it stands in the file, but for its line ends."""

    name: str
    line: int
    letters: str


class FastaSource:
    """Sequences of a FASTA file: plain, gzip or bgzip.

    A record's name is its heading's first word, as for samtools, bedtools and pyfaidx. Names such as
    chr1:100-200 give coordinates (see `names.parse_coordinates`). Letters stay in the file's order, also
    where the name says minus strand: then they run 5' to 3' on that strand.

    Parameters
    ----------
    path : str or Path
        The file. It is read once here, so that a file that does not parse is refused before any work.

    Attributes
    ----------
    n_records : int
        Number of records, those that will be skipped included.
    orientation : str
        "strand": where a region has a strand, its letters run along that strand.

    Raises
    ------
    UserError
        When the file is missing, empty, cut short, not FASTA or without a single letter.
    """

    orientation = "strand"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.n_records = 0
        self._first_length = 0
        for entry in read_fasta(self.path):
            self.n_records += 1
            self._first_length = self._first_length or len(entry.letters)
        if not self._first_length:
            raise UserError(f"FASTA file {self.path} holds {self.n_records} headings but no letters")

    def first_length(self) -> int:
        """Length of the first record that has letters."""
        return self._first_length

    def records(self, length: int | None) -> Iterator[Record | Skipped]:
        """Go through the file from its beginning; may be called again and again.

        Parameters
        ----------
        length : int or None
            The length that the model takes; None takes that of the first record.

        Yields
        ------
        Record or Skipped
            In the file's order. Skipped are records without a base (A, C, G or T) and of another length.
        """
        wanted = self._first_length if length is None else length
        owner = "the first record has" if length is None else "the model takes"
        for index, entry in enumerate(read_fasta(self.path)):
            letters = normalise(entry.letters)
            if not letters:
                reason = "has no letters"
            elif len(letters) != wanted:
                reason = f"is {len(letters)} bp long; {owner} {wanted} bp"
            elif not count_bases(letters):
                reason = f"has no base (A, C, G, T or U) among its {len(letters)} letters"
            else:
                yield _record(index, entry, letters)
                continue
            yield Skipped(index, entry.name, entry.line, reason)


def _record(index: int, entry: FastaEntry, letters: bytes) -> Record:
    place = parse_coordinates(entry.name, len(letters))
    chrom, start, end, strand = place or (entry.name, 0, len(letters), ".")
    region = Region(chrom, start, end, entry.name, strand, index)
    return Record(region, letters, place is not None, entry.line)


def normalise(letters: str) -> bytes:
    """Upper case, RNA's U as T."""
    return letters.encode("ascii").upper().translate(_RNA_TO_DNA)


def is_sequence(text: str) -> bool:
    """Whether a text holds letters, * and -, at least one of them and nothing else."""
    return (text.isascii() and text.isalpha()) or _SEQUENCE.fullmatch(text) is not None  # the first is faster


def read_fasta(path: Path, what: str = "FASTA file") -> Iterator[FastaEntry]:
    """Parse a FASTA file: gzip or not, any line ends, blank lines and blanks within lines ignored.

    Raises
    ------
    UserError
        When the file cannot be read, does not begin with a heading, or has anything but letters, * and - in
        a sequence.
    """
    require_heading(path, what)
    with open_text(path, what) as file:
        name: str | None = None
        first_line, count, parts = 0, 0, list[str]()
        for number, text in _lines(file):
            if text.startswith(">"):
                if name is not None:
                    yield FastaEntry(name, first_line, "".join(parts))
                name, first_line, parts = _first_word(text, count), number, []
                count += 1
            elif text:
                parts.append(_checked(text, f"{what} {path}, record {count} ({name}), line {number}"))
        if name is not None:
            yield FastaEntry(name, first_line, "".join(parts))


def require_heading(path: Path, what: str) -> None:
    """Check that a file's first line that is not blank is a FASTA heading.

    Raises
    ------
    UserError
        When the file cannot be read, is blank, or begins with something else.
    """
    with open_text(path, what) as file:
        for number, text in _lines(file):
            if text.startswith(">"):
                return
            if text:
                raise UserError(
                    f"{what} {path} is not a FASTA file: line {number} begins with {shorten(text)}, not '>'"
                )
    raise UserError(f"{what} {path} holds nothing but blank lines")


def _lines(file: TextIO) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(file, start=1):
        yield number, raw.strip(_BLANKS)


def _first_word(heading: str, count: int) -> str:
    words = heading[1:].split(maxsplit=1)
    return words[0] if words else f"record_{count + 1}"


def _checked(text: str, where: str) -> str:
    if is_sequence(text):
        return text
    text = "".join(text.split())
    wrong = next((letter for letter in text if not is_sequence(letter)), None)
    if wrong is not None:
        raise UserError(f"{where} holds {wrong!r}; a sequence is made of letters, '*' and '-' only")
    return text
