"""Finds or makes the files for random access to a genome: indexes, and sometimes an unpacked copy.

No file is ever written beside the genome, which may lie in a shared or read-only folder, and an index is used
only if it fits the genome.
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
from deeplift_cli.sequences.fasta_parser import Heading, read_pieces, require_heading
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.notes import Note
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
_LARGEST_INDEX = 2**28  # bytes; the index of a genome in two million sequences has 2**26

# Exceptions that pyfaidx and Biopython raise when they cannot read a file.
READING_ERRORS = (ArithmeticError, LookupError, OSError, RuntimeError, ValueError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class _Fasta:
    """A FASTA that pyfaidx can read; `gzi` is the table of the blocks of a bgzip file."""

    path: Path
    content: Content
    gzi: Path | None = None


class _UntrueIndexError(Exception):
    """The index that pyfaidx made does not fit the genome."""


def cached_files(genome: Path) -> list[Path]:
    """Return the files in the cache that were made from a genome.

    Raises
    ------
    UserError
        If the genome is missing, or the cache cannot be read.
    """
    require_file(genome, _WHAT)
    entry = CacheEntry(genome)
    return [entry.path(suffix) for suffix in (_FAI, _GZI, _COPY, _COPY_FAI) if entry.has(suffix)]


def prepare_genome(genome: Path, note: Note) -> Any:
    """Open a genome with pyfaidx, and make missing files in the cache.

    A plain or bgzip genome is read in place. The index of such a genome is the .fai beside it (or beside the
    target of a link) if that index fits: each entry follows the line ">NAME", and the entries cover the whole
    file (see `fai.is_true`). Otherwise an index is made in the cache. For bgzip, a table of the blocks is
    made there, too. A genome that is gzip but not bgzip, or whose lines have different lengths, is unpacked
    to the cache. If several processes need these files at once, one makes the files and the others wait.

    Parameters
    ----------
    genome : Path
        FASTA: plain, gzip or bgzip.
    note : callable
        Called with one line about an index that does not fit, about a bgzip file that may be truncated, and
        before work that takes a while and is done once.

    Returns
    -------
    pyfaidx.Faidx
        The opened genome, whose index has been checked.

    Raises
    ------
    UserError
        If the genome cannot be read or is not FASTA, or the cache cannot be written.
    """
    require_heading(genome, _WHAT)
    try:
        fasta = _in_place(genome, note)
        found = None if fasta is None else _by_index_beside(fasta, note)
        return _from_cache(genome, fasta, note) if found is None else found
    except OSError as error:
        raise UserError(f"genome {genome} cannot be read: {error.strerror or error}") from error


def _in_place(genome: Path, note: Note) -> _Fasta | None:
    """Return the genome for reading in place; None for gzip that is not bgzip to its end."""
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
    except READING_ERRORS:  # the first block is damaged; the parser that makes the copy reports the damage
        return None


def _cached_blocks(genome: Path, entry: CacheEntry) -> Blocks | None:
    return read_gzi(entry.path(_GZI), genome.stat().st_size) if entry.has(_GZI) else None


def _by_index_beside(fasta: _Fasta, note: Note) -> Any:
    real = fasta.path.resolve()
    for place in dict.fromkeys((fasta.path, real)):  # an index may be beside a link or its target
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
    """Open a FASTA with an index; None if the file is no index or does not fit."""
    try:
        if fai.stat().st_size > _LARGEST_INDEX:
            return None
        opened = _open(fasta, fai)
        if _is_readable(opened, fasta.content):
            return opened
        opened.close()
    except READING_ERRORS:
        pass  # damage of the genome is reported when the genome is read from its beginning
    return None


def _is_readable(opened: Any, content: Content) -> bool:
    """Return whether pyfaidx finds every letter with this index."""
    if content.blocks is not None:
        unreachable = after_full_blocks(content.blocks)
        if any(entry.offset in unreachable for entry in opened.index.values()):
            return False
    return is_true(opened.index, content)


def _open(fasta: _Fasta, fai: Path, *, build: bool = False) -> Any:
    """Open a FASTA with pyfaidx and an index, which `build` makes; a failure raises `READING_ERRORS`."""
    from pyfaidx import Faidx, FastaIndexingError  # the import takes a fifth of the time that --help may take

    path, suffix = fasta.path, fasta.path.suffix.lower()
    gzi = None if fasta.gzi is None else str(fasta.gzi)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # This module compares the times of files itself; pyfaidx would warn of a genome from the future.
        warnings.simplefilter("ignore")
        if (suffix in (".gz", ".bgz")) != (gzi is not None) or suffix in (".bz2", ".zip"):
            # pyfaidx decides by the file's name, and does not need the name after the file is open.
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
        found = _find(fasta, entry)  # another process may have made the files meanwhile
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
            f"the unpacked copy {entry.path(_COPY)} of genome {genome} is damaged right after it was "
            "written; check the disc, or set DEEPLIFT_CACHE to another folder"
        )
    return found


def _find(fasta: _Fasta | None, entry: CacheEntry) -> Any:
    """Open the genome with the files in the cache; None if they are missing or do not fit."""
    found = None
    if fasta is not None and entry.has(_FAI):
        found = _by_index(fasta, entry.path(_FAI))
    if found is None and entry.has(_COPY, _COPY_FAI):
        copy = entry.path(_COPY)
        found = _by_index(_Fasta(copy, Content(copy)), entry.path(_COPY_FAI))
    return found


def _build_index(fasta: _Fasta, entry: CacheEntry, note: Note) -> Any:
    """Index the genome in the cache; None if pyfaidx refuses the genome, or makes an index that is not right.

    pyfaidx refuses most lines of uneven lengths, but not all, and keeps three copies of one line in memory.
    """
    note(f"indexing genome {fasta.path}, once, to {entry.path(_FAI)}")
    try:
        with entry.build(_FAI) as (fai,):
            opened = _open(fasta, fai, build=True)
            if not _is_readable(opened, fasta.content):
                opened.close()
                raise _UntrueIndexError
    except (_UntrueIndexError, *READING_ERRORS):
        return None  # the parser that makes the copy reports the place of any damage
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
