"""The genome's letters for a browser: those of some stretches, at their coordinates in the genome.

A page with all letters of a human genome would have 3 GB. There are two forms with the letters of the scored
windows only: FASTA text that a page holds, and a bgzip file with N between the windows, which takes some
five megabytes for a human genome without windows.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from deeplift_cli.browser.windows import Stretch
from deeplift_cli.errors import UserError
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.sequences.random_access import find_blocks, write_gzi

_BLOCK = 65_280  # unpacked bytes of a block, as bgzip has it
_PIECE = 2**20  # letters that are read from the genome at a time


class Letters(Protocol):
    """A genome, as `deeplift_cli.sequences.genome.Genome`."""

    sizes: dict[str, int]

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        """Return the letters of a window in upper case."""
        ...


def require_simple_names(parts: Iterable[Stretch]) -> None:
    """Check that igv.js can read the names of the chromosomes that are shown.

    Raises
    ------
    UserError
        If a name has letters outside of ASCII.
    """
    for chrom in {part.chrom for part in parts}:
        if not chrom.isascii():
            raise UserError(
                f"the genome browser cannot show chromosome {chrom!r}: its name has letters outside of ASCII"
            )


def fasta_records(parts: Iterable[Stretch], sizes: Mapping[str, int]) -> list[tuple[str, Stretch]]:
    """Return the headings and stretches of the FASTA text for a page.

    igv.js reads ">chr1:1001-2000 @len=248956422" as 1,000 letters at their place on chr1: an extension of
    FASTA that igv-reports introduced. In a name with a colon igv.js would take the part after the colon for
    the place. Such a chromosome is whole, with a plain heading. Plain headings come first, because igv.js 3.8
    would give a plain record the length that stands in the heading before it.

    Parameters
    ----------
    parts : iterable of Stretch
        The stretches to show.
    sizes : mapping of str to int
        Length of each chromosome in bp.
    """
    every = list(parts)
    with_colon = dict.fromkeys(part.chrom for part in every if ":" in part.chrom)
    records = [(chrom, Stretch(chrom, 0, sizes[chrom])) for chrom in with_colon]
    for part in every:
        if part.chrom not in with_colon:
            place = f"{part.start + 1}-{part.end}"
            records.append((f"{part.chrom}:{place} @len={sizes[part.chrom]}", part))
    return records


def as_fasta(genome: Letters, records: Iterable[tuple[str, Stretch]]) -> bytes:
    """Return the letters of stretches as FASTA, each under its heading."""
    text = bytearray()
    for heading, stretch in records:
        text += f">{heading}\n".encode()
        for piece in _fetched(genome, stretch):
            text += piece
        text += b"\n"
    return bytes(text)


def write_masked_genome(genome: Letters, parts: Iterable[Stretch], fasta: Path, fai: Path, gzi: Path) -> None:
    """Write all chromosomes as bgzip FASTA with its two indexes; letters outside of the stretches are N.

    Parameters
    ----------
    genome : Letters
        The genome.
    parts : iterable of Stretch
        Disjoint, and sorted within each chromosome.
    fasta, fai, gzi : Path
        The files to write.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from Bio import bgzf  # imported here for a fast start: see test_start_up.py

    by_chrom: dict[str, list[Stretch]] = {}
    for part in parts:
        by_chrom.setdefault(part.chrom, []).append(part)
    place = 0
    with bgzf.BgzfWriter(str(fasta), "wb") as packed, fai.open("x", encoding="utf-8", newline="\n") as index:
        for block in _blocks(_masked_records(genome, by_chrom)):
            packed.write(block)
            packed.flush()
        for chrom, size in genome.sizes.items():
            place += len(f">{chrom}\n".encode())
            # A chromosome is one line, so that most blocks hold nothing but N.
            index.write(f"{chrom}\t{size}\t{place}\t{size}\t{size + 1}\n")
            place += size + 1
    write_gzi(gzi, find_blocks(fasta)[:-1])  # igv.js and samtools expect no entry for the end of the file


def _masked_records(genome: Letters, by_chrom: Mapping[str, list[Stretch]]) -> Iterator[bytes]:
    for chrom, size in genome.sizes.items():
        yield f">{chrom}\n".encode()
        place = 0
        for part in by_chrom.get(chrom, ()):
            yield from _unknown(part.start - place)
            yield from _fetched(genome, part)
            place = part.end
        yield from _unknown(size - place)
        yield b"\n"


def _unknown(count: int) -> Iterator[bytes]:
    whole, rest = divmod(count, _PIECE)
    for _ in range(whole):
        yield b"N" * _PIECE
    yield b"N" * rest


def _fetched(genome: Letters, part: Stretch) -> Iterator[bytes]:
    for start in range(part.start, part.end, _PIECE):
        check_stopped()
        yield genome.fetch(part.chrom, start, min(start + _PIECE, part.end))


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut text into blocks of one size, the last of which may be shorter."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        whole = len(waiting) - len(waiting) % _BLOCK
        for start in range(0, whole, _BLOCK):
            check_stopped()
            yield bytes(waiting[start : start + _BLOCK])
        del waiting[:whole]
    if waiting:
        yield bytes(waiting)
