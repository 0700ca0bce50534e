"""Reader of the first five columns of a VCF: chromosome, position, ID, REF and ALT.

Everything else of a line (genotypes of a hundred thousand samples, perhaps) is neither parsed nor kept.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.names import coordinate, name_fault, printed
from deeplift_cli.sequences.text import open_text, pieces, shorten

_WHAT = "VCF file"
_HEADING = ("#CHROM", "POS", "ID", "REF", "ALT")
_POSITION = re.compile(r"\d+", re.ASCII)
_BASES = frozenset("ACGTacgt")
_LETTERS_SHOWN = 20  # of an allele in the name of a variant
_LONGEST = 2**16  # letters of REF and all ALT alleles of a line; longer lines are read up to the alleles only
_BCF = "BCF\x02"


@dataclass(frozen=True, slots=True)
class Variant:
    """One ALT allele of one line of a VCF.

    Attributes
    ----------
    index : int
        0-based number of the allele in its file: a line with three ALT alleles counts as three.
    line : int
        1-based number of the line.
    chrom : str
        The chromosome in the VCF's spelling.
    place : str
        The chromosome in the genome's spelling.
    pos : int
        The 1-based position of the first letter of REF; 0 if it does not fit 64 bits.
    id, ref, alt : str
        As in the VCF.
    fault : str or None
        Why the variant cannot be scored, as the end of a sentence that begins with its name.
    """

    index: int
    line: int
    chrom: str
    place: str
    pos: int
    id: str
    ref: str
    alt: str
    fault: str | None

    @property
    def name(self) -> str:
        """The variant in one word, such as ``chr1:1000:A>G``; long alleles are cut."""
        return f"{self.chrom}:{self.pos}:{_cut(self.ref)}>{_cut(self.alt)}"


def _unchanged(name: str) -> str:
    return name


def read_vcf(path: Path, translate: Callable[[str], str] = _unchanged) -> Iterator[Variant]:
    """Parse a VCF, plain, gzip or bgzip, and yield each ALT allele as a variant of its own.

    Parameters
    ----------
    path : Path
    translate : callable
        Returns what the genome calls a chromosome of the file.

    Raises
    ------
    UserError
        If the file cannot be read, has no heading ``#CHROM POS ID REF ALT`` before the first variant, or
        holds no variant; with the line's number, if a line has fewer than 5 columns or a position that is no
        whole number.
    """
    count, headed = 0, False
    with open_text(path, _WHAT) as file:
        for number, piece, begins in pieces(file):
            if not begins:  # further columns of a long line
                continue
            text = piece.lstrip("\ufeff") if number == 1 else piece
            where = f"{_WHAT} {path}, line {number}"
            if text.startswith("#") or not text.strip():
                headed = headed or _is_heading(text, where)
                continue
            if not headed:
                raise _no_heading(path, number, text)
            for variant in _variants(text, number, where, translate, count):
                yield variant
                count += 1
    if not count:
        raise UserError(f"{_WHAT} {path} holds no variants")


def _no_heading(path: Path, number: int, text: str) -> UserError:
    if text.startswith(_BCF):
        return UserError(f"{_WHAT} {path} is a BCF; convert it first: bcftools view -O z -o FILE.vcf.gz")
    return UserError(
        f"{_WHAT} {path}, line {number}: no line '{' '.join(_HEADING)} ...' comes before the first variant; "
        "is it a VCF?"
    )


def _is_heading(text: str, where: str) -> bool:
    """Return whether a line names the columns.

    Raises
    ------
    UserError
        If the line names other columns than those of a VCF.
    """
    if not text.startswith("#CHROM"):
        return False
    if tuple(text.split()[: len(_HEADING)]) != _HEADING:
        raise UserError(f"{where}: the heading does not begin with the columns {' '.join(_HEADING)}")
    return True


def _variants(
    text: str, number: int, where: str, translate: Callable[[str], str], count: int
) -> Iterator[Variant]:
    columns = [column.strip() for column in text.rstrip("\n").split("\t", len(_HEADING))]
    is_cut = len(columns) <= len(_HEADING) and not text.endswith("\n") and len(text) >= _LONGEST
    if len(columns) < len(_HEADING) and not is_cut:
        raise UserError(
            f"{where} has {len(columns)} column(s), separated by tabs; a VCF has 5 or more: "
            f"{' '.join(_HEADING)}"
        )
    chrom, position, name, ref, alts = (columns + [""] * len(_HEADING))[: len(_HEADING)]
    if not _POSITION.fullmatch(position):
        raise UserError(f"{where} has {shorten(position)} where the position belongs, a whole number")
    pos = coordinate(position)
    fault = name_fault(chrom, name)
    if not chrom:
        fault = "has no chromosome"
    elif pos is None:
        fault = f"is at position {shorten(position)}, beyond what 64 bits hold"
    elif pos == 0:
        fault = "is at position 0, which stands for the end of the chromosome before its first base"
    elif is_cut:
        fault = f"has alleles of more than {_LONGEST:,} letters together"
    if fault is not None:
        chrom, name, ref, alts = (printed(value) for value in (chrom, name, ref, alts))
    for place, alt in enumerate(alts.split(",")):
        yield Variant(
            count + place, number, chrom, translate(chrom), pos or 0, name or ".", ref, alt,
            fault or allele_fault(ref, alt),
        )  # fmt: skip


def allele_fault(ref: str, alt: str) -> str | None:
    """Return why two alleles cannot be compared, as the end of a sentence; None if they can.

    The alleles of a variant that can be scored are letters A, C, G and T, in upper or lower case.
    """
    if not _BASES.issuperset(ref) or not ref:
        return f"has the REF allele {shorten(ref)}, which is not made of A, C, G and T only"
    if alt in ("", "."):
        return "has no ALT allele"
    if alt == "*":
        return "has the ALT allele *, which stands for a deletion that another line describes"
    if alt.startswith("<"):
        return f"has the symbolic ALT allele {shorten(alt)}, for which the VCF has no letters"
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return f"is a breakend, {shorten(alt)}"
    if not _BASES.issuperset(alt):
        return f"has the ALT allele {shorten(alt)}, which is not made of A, C, G and T only"
    if alt.upper() == ref.upper():
        return "has equal REF and ALT alleles"
    return None


def _cut(allele: str) -> str:
    return printed(allele if len(allele) <= _LETTERS_SHOWN else f"{allele[:_LETTERS_SHOWN]}...")
