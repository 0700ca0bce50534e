"""Finding or making what random access to a genome needs: indexes, and sometimes an unpacked copy.

Nothing is ever written beside the genome, which may lie in a shared or read-only folder, and no index is
believed that does not fit the genome.
"""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.cache import CacheEntry
from deeplift_cli.sequences.fai import is_true
from deeplift_cli.sequences.fasta import Heading, Note, read_pieces, require_heading
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.random_access import (
    Blocks,
    Content,
    NotBgzipError,
    after_full_blocks,
    find_blocks,
    has_end_marker,
    read_gzi,
    write_gzi,
)
from deeplift_cli.sequences.text import is_bgzip, is_gzip, require_file

_WHAT = "genome"
_FAI, _GZI, _COPY, _COPY_FAI = ".fai", ".gzi", ".fa", ".fa.fai"
_LARGEST_INDEX = 2**28  # bytes; that of a genome in two million pieces has 2**26

# What pyfaidx and Biopython raise on files that are not as they expect.
READING_ERRORS = (ArithmeticError, LookupError, OSError, RuntimeError, ValueError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class _Fasta:
    """A FASTA that pyfaidx can read; `gzi` is the table of its blocks where it is bgzip."""

    path: Path
    content: Content
    gzi: Path | None = None


class _UntrueIndexError(Exception):
    """The index that pyfaidx made does not fit the genome."""


def cached_files(genome: Path) -> list[Path]:
    """What the cache has of a genome.

    Raises
    ------
    UserError
        If the genome is missing, or the cache cannot be read.
    """
    require_file(genome, _WHAT)
    entry = CacheEntry(genome)
    return [entry.path(suffix) for suffix in (_FAI, _GZI, _COPY, _COPY_FAI) if entry.has(suffix)]


def prepare_genome(genome: Path, note: Note) -> Any:
    """Open a genome by pyfaidx, making in the cache what is missing.

    A plain or bgzip genome is read in place. Its index is the .fai beside it (or beside what it is a link to)
    if that fits: each of its entries follows the line ">NAME", and all together cover the file (see
    `fai.is_true`). Otherwise one is made in the cache. For bgzip a table of its blocks is made there, too. A
    genome that is gzip but not bgzip, or whose lines have no equal lengths, is unpacked to the cache. Where
    several processes need that at once, one does it and the others wait.

    Parameters
    ----------
    genome : Path
        FASTA: plain, gzip or bgzip.
    note : callable
        Told of an index that does not fit, of a bgzip file that may be cut short, and, before it begins, of
        work that takes a while and is done once.

    Returns
    -------
    pyfaidx.Faidx
        Its index is true.

    Raises
    ------
    UserError
        When the genome cannot be read or is not FASTA, or the cache cannot be written.
    """
    require_heading(genome, _WHAT)
    try:
        fasta = _in_place(genome, note)
        found = None if fasta is None else _by_index_beside(fasta, note)
        return _from_cache(genome, fasta, note) if found is None else found
    except OSError as error:
        raise UserError(f"genome {genome} cannot be read: {error.strerror or error}") from error


def _in_place(genome: Path, note: Note) -> _Fasta | None:
    """The genome as it is; None for gzip that is not bgzip to its end."""
    if not is_gzip(genome):
        return _Fasta(genome, Content(genome))
    if not is_bgzip(genome):
        return None
    entry = CacheEntry(genome)
    blocks = _cached_blocks(genome, entry)
    if blocks is None:
        with entry.lock(note):
            try:
                blocks = find_blocks(genome)
            except NotBgzipError:
                return None
            with entry.build(_GZI) as (gzi,):
                write_gzi(gzi, blocks)
    if not has_end_marker(blocks):
        note(f"genome {genome} has no end marker of bgzip: see that it is not cut short")
    try:
        return _Fasta(genome, Content(genome, blocks), entry.path(_GZI))
    except READING_ERRORS:  # the first block is damaged; the parser that copies says so
        return None


def _cached_blocks(genome: Path, entry: CacheEntry) -> Blocks | None:
    return read_gzi(entry.path(_GZI), genome.stat().st_size) if entry.has(_GZI) else None


def _by_index_beside(fasta: _Fasta, note: Note) -> Any:
    real = fasta.path.resolve()
    for place in dict.fromkeys((fasta.path, real)):  # a link's index may lie beside the link or its target
        fai = place.with_name(place.name + _FAI)
        if not fai.is_file():
            continue
        if fai.stat().st_mtime < real.stat().st_mtime:
            note(f"the index {fai} is older than the genome, and is not used")
        elif (found := _by_index(fasta, fai)) is not None:
            return found
        else:
            note(f"the index {fai} does not fit the genome, and is not used; make it anew (samtools faidx)")
    return None


def _by_index(fasta: _Fasta, fai: Path) -> Any:
    """Open a FASTA by an index, if it is one and fits; None otherwise."""
    try:
        if fai.stat().st_size > _LARGEST_INDEX:
            return None
        opened = _open(fasta, fai)
        if _is_readable(opened, fasta.content):
            return opened
        opened.close()
    except READING_ERRORS:
        pass  # the genome's own damage is told when it is read from its beginning
    return None


def _is_readable(opened: Any, content: Content) -> bool:
    """Whether pyfaidx finds every letter by this index."""
    if content.blocks is not None:
        unreachable = after_full_blocks(content.blocks)
        if any(entry.offset in unreachable for entry in opened.index.values()):
            return False
    return is_true(opened.index, content)


def _open(fasta: _Fasta, fai: Path, *, build: bool = False) -> Any:
    """Open a FASTA by pyfaidx, by an index that is there or is to be built; `READING_ERRORS` if it cannot."""
    from pyfaidx import Faidx, FastaIndexingError  # a fifth of the time that --help may take

    path, suffix = fasta.path, fasta.path.suffix.lower()
    gzi = None if fasta.gzi is None else str(fasta.gzi)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # Times of files are compared here; pyfaidx would warn of a genome from the future.
        warnings.simplefilter("ignore")
        if (suffix in (".gz", ".bgz")) != (gzi is not None) or suffix in (".bz2", ".zip"):
            # pyfaidx goes by the name, and needs it no more when the file is open.
            path = Path(folder) / ("genome.fa" if gzi is None else "genome.fa.gz")
            path.symlink_to(fasta.path.resolve())
        try:
            return Faidx(
                str(path), str(fai), as_raw=True, rebuild=False, build_index=build, gzi_indexname=gzi
            )
        except FastaIndexingError as error:
            raise ValueError(str(error)) from error


def _from_cache(genome: Path, fasta: _Fasta | None, note: Note) -> Any:
    entry = CacheEntry(genome)
    found = _find(fasta, entry)
    if found is not None:
        return found
    with entry.lock(note):
        found = _find(fasta, entry)  # another process may have been at it
        if found is None and fasta is not None:
            found = _build_index(fasta, entry, note)
        if found is not None:
            return found
        plain_gzip = is_gzip(genome) and not is_bgzip(genome)
        why = "is plain gzip, not bgzip" if plain_gzip else "cannot be read at random places as it is"
        note(f"genome {genome} {why}: writing an unpacked copy, once, to {entry.path(_COPY)}")
        _write_copy(genome, entry)
        found = _find(None, entry)
    if found is None:
        raise UserError(
            f"the unpacked copy {entry.path(_COPY)} of genome {genome} is not what was written; is the disc "
            "sound? Set DEEPLIFT_CACHE to another folder"
        )
    return found


def _find(fasta: _Fasta | None, entry: CacheEntry) -> Any:
    """Open what the cache has, if it fits; None otherwise."""
    found = None
    if fasta is not None and entry.has(_FAI):
        found = _by_index(fasta, entry.path(_FAI))
    if found is None and entry.has(_COPY, _COPY_FAI):
        copy = entry.path(_COPY)
        found = _by_index(_Fasta(copy, Content(copy)), entry.path(_COPY_FAI))
    return found


def _build_index(fasta: _Fasta, entry: CacheEntry, note: Note) -> Any:
    """Index the genome in the cache; None where pyfaidx refuses it, or makes an index that is not true.

    pyfaidx refuses lines of uneven lengths, but not all of them. It holds one line at a time, three times.
    """
    note(f"indexing genome {fasta.path}, once, to {entry.path(_FAI)}")
    try:
        with entry.build(_FAI) as (fai,):
            opened = _open(fasta, fai, build=True)
            if not _is_readable(opened, fasta.content):
                opened.close()
                raise _UntrueIndexError
    except (_UntrueIndexError, *READING_ERRORS):
        return None  # the parser that copies names the place of any damage
    return opened


def _write_copy(genome: Path, entry: CacheEntry) -> None:
    """Write a plain FASTA, each sequence on one line, and its index."""
    index = dict[str, str]()
    with entry.build(_COPY, _COPY_FAI) as (copy, fai):
        with copy.open("xb") as out:
            name, count, length, offset = "", 0, 0, 0
            for item in read_pieces(genome, _WHAT):
                if isinstance(item, Heading):
                    count += 1
                    name, length = item.first_word(count), 0
                    if name in index:
                        raise UserError(
                            f"genome {genome}, line {item.line}: second record named {printed(name)}"
                        )
                    out.write(f"{chr(10) if count > 1 else ''}>{name}\n".encode())
                    offset = out.tell()
                else:
                    length += out.write(item.encode("ascii"))
                index[name] = f"{name}\t{length}\t{offset}\t{length}\t{length + 1 if length else 0}\n"
            out.write(b"\n")
        with fai.open("x", encoding="utf-8", newline="\n") as out_index:
            out_index.writelines(index.values())
