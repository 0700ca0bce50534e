"""The letters that a sequence may hold, and those among them that stand for nucleotides."""

import re

from deeplift_cli.sequences.text import shorten

# IUPAC's codes of nucleotides, with RNA's U; X, with which RepeatMasker and cross_match mask letters; and the
# signs of a gap (-) and of a stop (*), which stand for no base but may appear in DNA files. All other letters
# (E, F, I, J, L, O, P, Q, Z) stand for amino acids or for nothing.
_NUCLEOTIDES = b"ACGTURYSWKMBDHVNX-*"
_EVERY_CASE = _NUCLEOTIDES + _NUCLEOTIDES.lower()
_SEQUENCE = re.compile(r"[A-Za-z*-]+")
_RNA_TO_DNA = bytes.maketrans(b"U", b"T")


def is_sequence(text: str) -> bool:
    """Return whether a text is not empty and holds only letters, * and -."""
    return (text.isascii() and text.isalpha()) or _SEQUENCE.fullmatch(text) is not None  # the first is faster


def normalise(letters: bytes) -> bytes:
    """Return letters in upper case, with RNA's U as T."""
    return letters.upper().translate(_RNA_TO_DNA)


def foreign_letter(letters: bytes) -> int | None:
    """Return the place, from 0, of the first letter that stands for no nucleotide; None if there is none."""
    foreign = letters.translate(None, _EVERY_CASE)
    return letters.index(foreign[:1]) if foreign else None


def foreign_reason(letter: bytes, place: int, where: str = "") -> str:
    """Return why a record with such a letter is skipped, as the end of a sentence after the record's name.

    Parameters
    ----------
    letter : bytes
    place : int
        The place of the letter, from 0.
    where : str
        The text that says in what the place is counted; by default in the record itself.
    """
    shown = shorten(letter.decode("latin-1"))
    return f"has the letter {shown}, which stands for no nucleotide, at position {place + 1:,}{where}"
