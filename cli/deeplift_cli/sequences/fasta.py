"""Reader of FASTA files with one record in memory at a time, and of too long records one piece at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.sequences.letters import foreign_letter, foreign_reason, is_sequence, normalise
from deeplift_cli.sequences.names import name_fault, parse_coordinates, printed
from deeplift_cli.sequences.records import BEGINNING, Facts, Place, Record, Region, Skipped
from deeplift_cli.sequences.selection import EVERYTHING, Selection
from deeplift_cli.sequences.text import open_text, pieces, shorten

Note = Callable[[str], None]

_WHAT = "FASTA file"
_BLANKS = " \t\r\n\v\f\ufeff"  # the last is the byte-order mark, with which some editors begin a file
# A record that may be cut is in memory as a whole, since its length is known only at its end. A record of
# more letters is probably a chromosome.
_LONGEST_CUT = 2**24
_HEAD = 2**12  # characters read at a time in search of the first heading
_DROPPED_FROM = 2**16  # letters of a too long record that are examined and dropped at a time


def say_nothing(_: str) -> None:
    """Drop a note."""


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


class FastaSource:
    """Sequences of a FASTA file: plain, gzip or bgzip.

    A record's name is the first word of its heading, as in samtools, bedtools and pyfaidx. If a blank follows
    the ">", the whole heading is the name: there is no first word then (samtools reads an empty name, others
    read the word after the blank, which is often the same in all records). Names such as chr1:100-200 give
    coordinates (see `names.parse_coordinates`). Letters stay in the file's order; if the name says minus
    strand, the letters are in the direction 5' to 3' of that strand.

    Parameters
    ----------
    path : str or Path
        The file. The constructor reads it once, so that a file that does not parse is refused before any
        work.
    note : callable, optional
        Called with one line about each kind of unexpected name.
    facts : Facts, optional
        What an earlier source found in the same file, which is then not read here.
    selection : Selection, optional
        The choice of the records to score.

    Attributes
    ----------
    facts : Facts
    orientation : str
        "strand": the letters of a region with a strand are in the direction of that strand.

    Raises
    ------
    UserError
        If the file is missing, empty, truncated, not FASTA or without any letter, or if every record has
        letters that stand for no nucleotide, as protein has.
    """

    orientation = "strand"

    def __init__(
        self,
        path: str | Path,
        note: Note = say_nothing,
        facts: Facts | None = None,
        selection: Selection = EVERYTHING,
    ) -> None:
        self.path = Path(path)
        self.selection = selection
        self.facts = self._find_facts() if facts is None else facts
        sample = selection.sample
        drawn = None if sample is None else sample.drawn_of(self.facts.n_records)
        self._drawn = None if drawn is None else frozenset(drawn)
        for text in self.facts.notes:
            note(f"{_WHAT} {self.path}{text}")

    @property
    def n_records(self) -> int:
        """The number of records to score, those that will be skipped included."""
        return self.facts.n_records if self._drawn is None else len(self._drawn)

    def _find_facts(self) -> Facts:
        """Read the whole file once, and return its facts."""
        n_records, first_length = 0, 0
        shortest = longest = 0
        foreign, with_letters, first_foreign = 0, 0, ""
        last_name, noted = "", False
        notes = list[str]()
        for entry in read_fasta(self.path, longest=0, note=notes.append):
            n_records += 1
            if entry.name == last_name and not noted:
                noted = True
                notes.append(
                    f": records {n_records - 1} and {n_records} are both named "
                    f"{shorten(entry.name)}, the first word of their headings; regions/index tells rows apart"
                )
            last_name = entry.name
            with_letters += entry.length > 0
            if entry.foreign is None:
                first_length = first_length or entry.length
                shortest = min(shortest or entry.length, entry.length or shortest)
                longest = max(longest, entry.length)
            else:
                foreign += 1
                first_foreign = first_foreign or f"{shorten(entry.name)} (line {entry.line}) {entry.foreign}"
        if not with_letters:
            raise UserError(f"{_WHAT} {self.path} holds {n_records} headings but no letters")
        if foreign == with_letters:
            raise UserError(
                f"{_WHAT} {self.path} looks like protein, not DNA: each of its {with_letters:,} records has "
                f"letters that stand for no nucleotide; the first, {first_foreign}"
            )
        return Facts(n_records, first_length, tuple(notes), shortest=shortest, longest=longest)

    def first_length(self) -> int:
        """Return the length of the first record that has letters, all of which stand for nucleotides."""
        return self.facts.first_length

    def records(self, length: int | None, start: Place = BEGINNING) -> Iterator[Record | Skipped]:
        """Yield the records of the file; the method may be called several times.

        Parameters
        ----------
        length : int or None
            The length that the model takes; None for the length of the first record.
        start : Place
            The record to begin with.

        Yields
        ------
        Record or Skipped
            In the file's order; records that are not in the sample are left out. Skipped are records of
            another length (with `Selection.fit` only those that are too long to be cut), without a base (A,
            C, G or T) or with too few of them (`Selection.max_n`), with letters that stand for no
            nucleotide, and with names that outputs cannot hold.
        """
        wanted = self.first_length() if length is None else length
        owner = "the first record has" if length is None else "the model takes"
        longest = max(wanted, _LONGEST_CUT) if self.selection.fit else wanted
        entries = read_fasta(self.path, longest=longest, start=start)
        for index, entry in enumerate(entries, start=start.number):
            if self._drawn is not None and index not in self._drawn:
                continue
            reason = name_fault(entry.name) or entry.foreign
            if not entry.length:
                reason = "has no letters"
            elif reason is None and entry.length > longest and self.selection.fit:
                reason = (
                    f"has {entry.length:,} letters; records of {longest:,} at most are cut (windows of a "
                    "longer one are cut by --genome and --regions)"
                )
            elif reason is None and entry.length != wanted and not self.selection.fit:
                remedy = f"(--length {wanted} cuts and pads records)"
                reason = f"is {entry.length} bp long; {owner} {wanted} bp {remedy}"
            if reason is None:
                record = _record(index, entry, wanted)
                reason = self.selection.reason_in_bases(record.letters, f"among its {wanted:,} letters")
                if reason is None:
                    yield record
                    continue
            yield Skipped(index, printed(entry.name), entry.line, reason)


def _record(index: int, entry: FastaEntry, length: int) -> Record:
    """Return a record with this length, cut or padded if it has another length."""
    place = parse_coordinates(entry.name, entry.length)
    chrom, start, end, strand = place or (entry.name, 0, entry.length, ".")
    left, right, letters = fitted(entry.letters, length)
    if strand == "-":  # the letters are in the direction of the minus strand
        left, right = right, left
    region = Region(chrom, start + left, end - right, entry.name, strand, index)
    return Record(region, letters, place is not None, entry.line)


def fitted(letters: bytes, length: int) -> tuple[int, int, bytes]:
    """Cut letters around their centre, or pad them with N, to a length; an odd letter is on the right.

    Parameters
    ----------
    letters : bytes
    length : int

    Returns
    -------
    left, right : int
        The number of letters that were cut off at each end; negative if letters were added.
    letters : bytes
    """
    surplus = abs(len(letters) - length)
    left, right = surplus // 2, surplus - surplus // 2
    if len(letters) >= length:
        return left, right, letters[left : left + length]
    return -left, -right, b"N" * left + letters + b"N" * right


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
    for item in read_pieces(path, _WHAT, start):
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
