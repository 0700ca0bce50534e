"""The items that a sequence source yields: records to score, and records that are skipped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """The window that a record covers.

    Parameters
    ----------
    chrom : str
        Chromosome, or the record's name if the record has no coordinates.
    start, end : int
        The scored window, 0-based and half-open.
    name : str
        The record's name in its file.
    strand : str
        "+", "-" or "." (none given).
    index : int
        0-based number of the record in its file, skipped ones counted.
    """

    chrom: str
    start: int
    end: int
    name: str
    strand: str
    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """The place at which a record begins in its file.

    Parameters
    ----------
    number : int
        0-based number of the record, skipped ones counted.
    line : int
        1-based number of the line.
    offset : int
        Offset in bytes in the unpacked file.
    """

    number: int
    line: int
    offset: int


BEGINNING = Place(0, 1, 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a file that a source collects when it reads the file for the first time.

    Parameters
    ----------
    n_records : int
        Number of records, those that will be skipped included, those that are left out by the user's choice
        of chromosomes not. A sample is drawn from these records, and all other facts are about them, too.
    first_length : int
        Length of the first usable record.
    notes : tuple of str
        What the user is told of the file, each as the rest of a line that begins with the file's path.
    n_left_out : int
        Number of records that were left out by the user's choice of chromosomes.
    shortest, longest : int
        Bounds of the lengths of the records that can be one; 0 where there is none.
    """

    n_records: int
    first_length: int
    notes: tuple[str, ...] = ()
    n_left_out: int = 0
    shortest: int = 0
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence to score.

    Parameters
    ----------
    region : Region
        The window that the record covers.
    letters : bytes
        Letters in upper case, with RNA's U as T; other letters are as in the file.
    has_coordinates : bool
        True if the region is a place on a chromosome; false if it is the record itself.
    line : int
        1-based line of the file where the record begins.
    """

    region: Region
    letters: bytes
    has_coordinates: bool
    line: int

    @property
    def content(self) -> bytes:
        """The bytes that identify the record: its letters, place and names."""
        return self.letters + repr(self.region).encode("utf-8", "surrogatepass")

    @property
    def is_on_minus_strand(self) -> bool:
        """True if the record's place is on the minus strand of a chromosome."""
        return self.has_coordinates and self.region.strand == "-"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that cannot be scored, though other records of its file can.

    Parameters
    ----------
    index : int
        0-based number of the record in its file.
    name : str
        The record's name.
    line : int
        1-based line of the file where the record begins.
    reason : str
        The reason, with numbers, as the end of a sentence that begins with the record's name.
    """

    index: int
    name: str
    line: int
    reason: str
