"""Sequences to score from a FASTA file."""

from collections.abc import Iterator
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.fasta_parser import FASTA, FastaEntry, read_fasta
from deeplift_cli.sequences.names import name_fault, parse_coordinates, printed
from deeplift_cli.sequences.notes import Note, say_nothing
from deeplift_cli.sequences.records import BEGINNING, Facts, Place, Record, Region, Skipped
from deeplift_cli.sequences.selection import EVERYTHING, Selection
from deeplift_cli.sequences.text import shorten

# A record that may be cut is in memory as a whole, since its length is known only at its end. A record of
# more letters is probably a chromosome.
_LONGEST_CUT = 2**24


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
            note(f"{FASTA} {self.path}{text}")

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
            raise UserError(f"{FASTA} {self.path} holds {n_records} headings but no letters")
        if foreign == with_letters:
            raise UserError(
                f"{FASTA} {self.path} looks like protein, not DNA: each of its {with_letters:,} records has "
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
            The records in the file's order; those that are not in the sample are left out. Records are
            skipped if they have another length (with `Selection.fit` only if they are too long to be cut), no
            base (A, C, G or T) or too few of them (`Selection.max_n`), letters that stand for no nucleotide,
            or a name that outputs cannot hold.
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
