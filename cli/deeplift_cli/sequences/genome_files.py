"""Finding or making what random access to a genome needs: an index, and sometimes an unpacked copy.

Nothing is ever written beside the genome, which may lie in a shared or read-only folder, and no index is
believed that does not fit the genome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.cache import CacheEntry
from deeplift_cli.sequences.fai import Sequence, build_index, is_true, read_fai, write_fai
from deeplift_cli.sequences.fasta import Heading, Note, read_pieces, require_heading
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.random_access import (
    BgzipFile,
    DamagedError,
    PlainFile,
    RandomAccess,
    open_in_place,
)
from deeplift_cli.sequences.text import is_bgzip, is_gzip

_WHAT = "genome"
_FAI, _COPY, _COPY_FAI = ".fai", ".fa", ".fa.fai"


@dataclass(frozen=True, slots=True)
class GenomeFiles:
    """A FASTA to read at any place, and where its sequences are.

    Attributes
    ----------
    path : Path
        The genome, or the copy of it in the cache.
    file : RandomAccess
        Open.
    sequences : mapping of str to Sequence
        By name, in the file's order.
    """

    path: Path
    file: RandomAccess
    sequences: Mapping[str, Sequence]


def prepare_genome(genome: Path, note: Note) -> GenomeFiles:
    """Find the files to read a genome by, making in the cache what is missing.

    A plain or bgzip genome is read in place. Its index is the .fai beside it (or beside what it is a link to)
    if that fits: each of its entries follows the line ">NAME", and all together cover the file (see
    `fai.is_true`). Otherwise one is made in the cache. A genome that is gzip but not bgzip, or whose lines
    have no equal lengths, is unpacked to the cache. Where several processes need that at once, one does it
    and the others wait.

    Parameters
    ----------
    genome : Path
        FASTA: plain, gzip or bgzip.
    note : callable
        Told of an index that does not fit, of a bgzip file that may be cut short, and, before it begins, of
        work that takes a while and is done once.

    Raises
    ------
    UserError
        When the genome cannot be read or is not FASTA, or the cache cannot be written.
    """
    require_heading(genome, _WHAT)
    try:
        file = open_in_place(genome)
        if isinstance(file, BgzipFile) and not file.has_end_marker:
            note(f"genome {genome} has no end marker of bgzip: see that it is not cut short")
        found = None if file is None else _index_beside(genome, file, note)
        if file is not None and found is not None:
            return GenomeFiles(genome, file, found)
        return _from_cache(genome, file, note)
    except OSError as error:
        raise UserError(f"genome {genome} cannot be read: {error.strerror or error}") from error


def _index_beside(genome: Path, file: RandomAccess, note: Note) -> Mapping[str, Sequence] | None:
    real = genome.resolve()
    for place in dict.fromkeys((genome, real)):  # a link's index may lie beside the link or its target
        fai = place.with_name(place.name + _FAI)
        if not fai.is_file():
            continue
        if fai.stat().st_mtime < real.stat().st_mtime:
            note(f"the index {fai} is older than the genome, and is not used")
        elif (sequences := _fitting(fai, file)) is not None:
            return sequences
        else:
            note(f"the index {fai} does not fit the genome, and is not used; make it anew (samtools faidx)")
    return None


def _fitting(fai: Path, file: RandomAccess) -> Mapping[str, Sequence] | None:
    """An index, if it is one and fits."""
    try:
        sequences = read_fai(fai)
        return sequences if sequences is not None and is_true(sequences, file) else None
    except (OSError, DamagedError):
        return None  # the genome's own damage is told when it is read from its beginning


def _from_cache(genome: Path, file: RandomAccess | None, note: Note) -> GenomeFiles:
    entry = CacheEntry(genome)
    found = _find(genome, file, entry)
    if found is not None:
        return found
    with entry.lock(note):
        found = _find(genome, file, entry)  # another process may have been at it
        if found is not None:
            return found
        sequences = None if file is None else _build_index(genome, file, entry, note)
        if file is not None and sequences is not None:
            return GenomeFiles(genome, file, sequences)
        plain_gzip = is_gzip(genome) and not is_bgzip(genome)
        why = "is plain gzip, not bgzip" if plain_gzip else "cannot be read at random places as it is"
        note(f"genome {genome} {why}: writing an unpacked copy, once, to {entry.path(_COPY)}")
        _write_copy(genome, entry)
        found = _find(genome, file, entry)
    if found is None:
        raise UserError(
            f"the unpacked copy {entry.path(_COPY)} of genome {genome} is not what was written; is the disc "
            "sound? Set DEEPLIFT_CACHE to another folder"
        )
    return found


def _find(genome: Path, file: RandomAccess | None, entry: CacheEntry) -> GenomeFiles | None:
    """What the cache has, if it fits."""
    if file is not None and entry.has(_FAI) and (sequences := _fitting(entry.path(_FAI), file)) is not None:
        return GenomeFiles(genome, file, sequences)
    if entry.has(_COPY, _COPY_FAI):
        copy = PlainFile(entry.path(_COPY))
        if (sequences := _fitting(entry.path(_COPY_FAI), copy)) is not None:
            return GenomeFiles(entry.path(_COPY), copy, sequences)
    return None


def _build_index(
    genome: Path, file: RandomAccess, entry: CacheEntry, note: Note
) -> Mapping[str, Sequence] | None:
    """Index the genome in the cache; None where no index can tell where its letters are."""
    note(f"indexing genome {genome}, once, to {entry.path(_FAI)}")
    try:
        sequences = build_index(file)
    except DamagedError:
        return None  # the parser that copies names the place
    if sequences is not None:
        with entry.build(_FAI) as (fai,):
            write_fai(fai, sequences)
    return sequences


def _write_copy(genome: Path, entry: CacheEntry) -> None:
    """Write a plain FASTA, each sequence on one line, and its index."""
    sequences = dict[str, Sequence]()
    with entry.build(_COPY, _COPY_FAI) as (copy, fai):
        with copy.open("xb") as out:
            name, count, length, offset = "", 0, 0, 0
            for item in read_pieces(genome, _WHAT):
                if isinstance(item, Heading):
                    count += 1
                    name, length = item.first_word(count), 0
                    if name in sequences:
                        raise UserError(
                            f"genome {genome}, line {item.line}: second record named {printed(name)}"
                        )
                    out.write(f"{chr(10) if count > 1 else ''}>{name}\n".encode())
                    offset = out.tell()
                else:
                    length += out.write(item.encode("ascii"))
                sequences[name] = Sequence(length, offset, length, length + 1 if length else 0)
            out.write(b"\n")
        write_fai(fai, sequences)
