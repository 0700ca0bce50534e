"""Finding or making what random access to a genome needs: an index, and sometimes an unpacked copy.

Nothing is ever written beside the genome, which may lie in a shared or read-only folder.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.cache import CacheEntry
from deeplift_cli.sequences.fasta import read_fasta, require_heading
from deeplift_cli.sequences.text import is_bgzip, is_gzip

Note = Callable[[str], None]

_WHAT = "genome"
_FAI, _GZI, _COPY, _COPY_FAI = ".fai", ".gzi", ".fa", ".fa.fai"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True, slots=True)
class GenomeFiles:
    """A FASTA that pyfaidx reads, with its index; `gzi` is given where the FASTA is bgzip."""

    fasta: Path
    fai: Path
    gzi: Path | None = None


def prepare_genome(genome: Path, note: Note) -> GenomeFiles:
    """Find the files to read a genome by, making in the cache what is missing.

    Parameters
    ----------
    genome : Path
        FASTA: plain, gzip or bgzip.
    note : callable
        Told, before it begins, of work that takes a while and is done once.

    Raises
    ------
    UserError
        When the genome cannot be read or is not FASTA, or the cache cannot be written.
    """
    require_heading(genome, _WHAT)
    suffixes = _readable_in_place(genome)
    if suffixes:
        for place in (genome, genome.resolve()):  # a link's index may lie beside the link or its target
            beside = [place.with_name(place.name + suffix) for suffix in suffixes]
            if all(_not_older(index, genome) for index in beside) and _is_sound_index(beside[0], genome):
                return GenomeFiles(genome, *beside)
    entry = CacheEntry(genome)
    if _exist(entry, (_COPY, _COPY_FAI)):
        return GenomeFiles(entry.path(_COPY), entry.path(_COPY_FAI))
    if suffixes and (_exist(entry, suffixes) or _build_index(genome, entry, suffixes, note)):
        return GenomeFiles(genome, *(entry.path(suffix) for suffix in suffixes))
    plain_gzip = is_gzip(genome) and not is_bgzip(genome)
    why = "is plain gzip, not bgzip" if plain_gzip else "cannot be read at random places as it is"
    note(f"genome {genome} {why}: writing an unpacked copy, once, to {entry.path(_COPY)}")
    _write_copy(genome, entry)
    return GenomeFiles(entry.path(_COPY), entry.path(_COPY_FAI))


def _readable_in_place(genome: Path) -> tuple[str, ...]:
    """The kinds of index by which pyfaidx reads this file as it is; none where it needs a copy.

    pyfaidx goes by the file's name, so a name that belies the content needs a copy, too; and it takes
    bgzip only with the end marker.
    """
    named_gzip = genome.name.lower().endswith((".gz", ".bgz"))
    if is_bgzip(genome):
        return (_FAI, _GZI) if named_gzip and _ends_with(genome, _BGZIP_END) else ()
    if is_gzip(genome) or named_gzip or genome.name.lower().endswith((".bz2", ".zip")):
        return ()
    return (_FAI,)


def _ends_with(path: Path, ending: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(ending)))
        return file.read() == ending


def _not_older(index: Path, genome: Path) -> bool:
    return index.is_file() and index.stat().st_mtime >= genome.stat().st_mtime


def _exist(entry: CacheEntry, suffixes: tuple[str, ...]) -> bool:
    return all(entry.path(suffix).is_file() for suffix in suffixes)


def _is_sound_index(fai: Path, genome: Path) -> bool:
    """Whether a .fai that somebody else made can be this genome's; if not, ours is built in the cache."""
    size = None if is_gzip(genome) else genome.stat().st_size
    names = set()
    try:
        for line in fai.read_text(encoding="utf-8").splitlines():
            name, *numbers = line.split("\t")
            length, offset, per_line, bytes_per_line = (int(number) for number in numbers)
            if name in names or bytes_per_line < per_line or (size is not None and offset + length > size):
                return False
            names.add(name)
    except (OSError, ValueError):
        return False
    return bool(names)


def _build_index(genome: Path, entry: CacheEntry, suffixes: tuple[str, ...], note: Note) -> bool:
    """Index the genome in the cache; False where pyfaidx refuses the file."""
    from pyfaidx import Faidx, FastaIndexingError  # a fifth of the time that --help may take

    note(f"indexing genome {genome}, once, to {entry.path(_FAI)}")
    try:
        with entry.build(*suffixes) as paths:
            Faidx(str(genome), indexname=str(paths[0]), gzi_indexname=str(paths[-1])).close()
    except (FastaIndexingError, ValueError, RuntimeError, struct.error, zlib.error):
        # Uneven lines, or damage. Our own parser copies the former and names the place of the latter.
        return False
    return True


def _write_copy(genome: Path, entry: CacheEntry) -> None:
    """Write a plain FASTA, each sequence on one line, and its index."""
    names = set()
    with entry.build(_COPY, _COPY_FAI) as (copy, fai), copy.open("wb") as sequences, fai.open("w") as index:
        for record in read_fasta(genome, _WHAT):
            if record.name in names:
                raise UserError(f"genome {genome}, line {record.line}: second record named {record.name}")
            names.add(record.name)
            sequences.write(f">{record.name}\n".encode())
            length, offset = len(record.letters), sequences.tell()
            sequences.write(record.letters.encode("ascii") + b"\n")
            index.write(f"{record.name}\t{length}\t{offset}\t{length}\t{length + 1}\n")
