"""Which letters a sequence may hold, and which of them stand for nucleotides."""

import re

from deeplift_cli.sequences.text import shorten

# IUPAC's codes of nucleotides, of which RNA's U is one; X, which RepeatMasker and cross_match write over what
# they mask; and the signs of a gap (-) and of a stop (*), which stand for no base but are no reason to doubt
# that the rest is DNA. All the other letters (E, F, I, J, L, O, P, Q, Z) are of amino acids or of nothing.
_NUCLEOTIDES = b"ACGTURYSWKMBDHVNX-*"
_EVERY_CASE = _NUCLEOTIDES + _NUCLEOTIDES.lower()
_SEQUENCE = re.compile(r"[A-Za-z*-]+")
_RNA_TO_DNA = bytes.maketrans(b"U", b"T")


def is_sequence(text: str) -> bool:
    """Whether a text holds letters, * and -, at least one of them and nothing else."""
    return (text.isascii() and text.isalpha()) or _SEQUENCE.fullmatch(text) is not None  # the first is faster


def normalise(letters: bytes) -> bytes:
    """Upper case, RNA's U as T."""
    return letters.upper().translate(_RNA_TO_DNA)


def foreign_letter(letters: bytes) -> int | None:
    """Where the first letter is that stands for no nucleotide, from 0; None where all do."""
    foreign = letters.translate(None, _EVERY_CASE)
    return letters.index(foreign[:1]) if foreign else None


def foreign_reason(letter: bytes, place: int, where: str = "") -> str:
    """Why a record with such a letter is skipped, as the end of a sentence that begins with its name.

    Parameters
    ----------
    letter : bytes
    place : int
        Where it is, from 0.
    where : str
        What the place is counted in; by default the record itself.
    """
    shown = shorten(letter.decode("latin-1"))
    return f"has the letter {shown}, which stands for no nucleotide, at position {place + 1:,}{where}"
