"""The index of an input, with which a shard reads only its own records.

One file in the cache holds what `FastaSource` and `GenomeSource` find when they read their file once: the
number of records, and so on (`.facts`). A second file (`.records`) holds for each record the place where the
record begins, the number of earlier records that can be scored, and a digest of the record; the file also
holds a digest of all records, and how often each base is at each position. Both files depend on the options
that decide which records are left out and skipped (`Selection`), and the second file also depends on the
length of the sequences. `CachedFile` says what distinguishes the indexes. A new option of this kind belongs
to `Selection.identity`.

An index is used only if the content of the FASTA or regions file, the size and time of the genome and the
version of this program are the same as when the index was made, and the checksum of the index is right. Each
record that is read with an index is compared with its digest in the index, so that a change of the genome is
found even if the genome's size and time are the same.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import blake2b, sha256
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.base_counts import BaseCounts
from deeplift_cli.sequences.cached_file import CachedFile
from deeplift_cli.sequences.fasta import FastaSource
from deeplift_cli.sequences.genome import GenomeSource
from deeplift_cli.sequences.line_starts import LineStarts
from deeplift_cli.sequences.notes import Note
from deeplift_cli.sequences.records import Facts, Place, Record, Skipped
from deeplift_cli.sequences.sealed_file import SealedFile
from deeplift_cli.sequences.selection import EVERYTHING, Selection
from deeplift_cli.sequences.text import open_bytes

Source = FastaSource | GenomeSource

_FACTS, _RECORDS = "facts", "records"
_DIGEST_BYTES = 16
_ROW = struct.Struct(f"<qqqq{_DIGEST_BYTES}s")  # the bytes of a `_Row`
_ROWS_AT_ONCE = 4096
_CHECKED_EVERY = 1024


class _Row(NamedTuple):
    """One record in the index.

    Attributes
    ----------
    number, offset, line : int
        The place where the record begins, see `Place`. Its number counts the records that are left out, which
        have no row.
    usable : int
        Number of records before this one that can be scored.
    digest : bytes
    """

    number: int
    offset: int
    line: int
    usable: int
    digest: bytes


def open_source(
    fasta: Path | None,
    genome: Path | None,
    regions: Path | None,
    note: Note,
    selection: Selection = EVERYTHING,
) -> Source:
    """Open a FASTA file, or the regions of a genome, and read the FASTA or regions file once.

    Raises
    ------
    UserError
        If the files cannot be used.
    """
    return _open(fasta, genome, regions, note, None, selection)


def open_prepared_source(
    fasta: Path | None,
    genome: Path | None,
    regions: Path | None,
    note: Note,
    selection: Selection = EVERYTHING,
) -> Source:
    """Open the input as `open_source`, but do not read a file again whose facts are in the cache.

    Raises
    ------
    CacheError
        If the facts are not in the cache, and the cache cannot be written.
    UserError
        If the files cannot be used.
    """
    records = fasta or regions
    assert records is not None
    # `open_source` reports paths that are no files. It also opens a genome that is its own regions file: the
    # two have the same lock, and this process would wait for a lock that it holds itself.
    if not records.is_file() or (genome is not None and genome.exists() and genome.samefile(records)):
        return open_source(fasta, genome, regions, note, selection)

    opened: Source | None = None

    def make(path: Path, identity: dict[str, Any]) -> None:
        nonlocal opened
        opened = open_source(fasta, genome, regions, note, selection)
        with SealedFile(path) as file:
            file.seal(identity | asdict(opened.facts))

    try:
        kept = CachedFile(records, genome, None, selection.of_the_whole, _FACTS)
    except OSError:
        return open_source(fasta, genome, regions, note, selection)  # reports what is wrong
    head, _ = kept.find_or_make(make, note)
    found = {field.name: head[field.name] for field in fields(Facts)}
    facts = Facts(**found | {"notes": tuple(head["notes"])})
    return opened or _open(fasta, genome, regions, note, facts, selection)


def _open(
    fasta: Path | None,
    genome: Path | None,
    regions: Path | None,
    note: Note,
    facts: Facts | None,
    selection: Selection,
) -> Source:
    if fasta is not None:
        return FastaSource(fasta, note, facts, selection)
    assert genome is not None
    assert regions is not None
    return GenomeSource(genome, regions, note, facts, selection)


def whole_input(source: Source) -> Source:
    """Return the source of all records from which the sample of a source was drawn.

    Raises
    ------
    UserError
        If the files cannot be used any more.
    """
    selection = source.selection.of_the_whole
    if selection == source.selection:
        return source
    if isinstance(source, FastaSource):
        return FastaSource(source.path, facts=source.facts, selection=selection)
    return GenomeSource(source.genome, source.regions, facts=source.facts, selection=selection)


class InputIndex:
    """The index of an input, which one process makes while others wait.

    Parameters
    ----------
    source : Source
    length : int or None
        The length as in `FastaSource.records` and `GenomeSource.records`.
    note : callable
        Called with one line before an index is made.

    Attributes
    ----------
    path : Path
        The file of the index.
    is_new : bool
        True if this object has made the index.
    n_records, n_usable : int
        Number of records, but for those that are left out, and of those that can be scored.
    digest : str
        SHA-256, as hex digits, of the letters and places of all records that can be scored.

    Raises
    ------
    CacheError
        If there is no index and the cache cannot be written.
    UserError
        If the input cannot be read.
    """

    def __init__(self, source: Source, length: int | None, note: Note) -> None:
        self._source = source
        self._length = length
        self._letters = source.first_length() if length is None else length
        records, genome, self._what = _files(source)
        self._records = records

        def make(path: Path, identity: dict[str, Any]) -> None:
            note(f"indexing {records}, once, to {self.path}")
            self._make(path, identity)

        with step("indexing", records):
            kept = CachedFile(records, genome, self._letters, source.selection, _RECORDS)
            self.path = kept.path
            head, self.is_new = kept.find_or_make(make, note)
        self.n_records: int = head["n_records"]
        self.n_usable: int = head["n_usable"]
        self.digest: str = head["digest"]

    def records(self, batches: range, rows: int) -> Iterator[Record | Skipped]:
        """Yield the records of some batches, without reading the records before them.

        Parameters
        ----------
        batches : range
            Numbers of batches, without gaps. Skipped records after the last batch count as one more batch.
        rows : int
            Number of records in a batch that can be scored.

        Yields
        ------
        Record or Skipped
            The records from the first one after the batch before to the last one of these batches.

        Raises
        ------
        UserError
            If a record has changed since it was indexed; the index is then removed.
        """
        with self.path.open("rb") as file:
            first, last = (self._first_after(file, number * rows) for number in (batches.start, batches.stop))
            if first >= last:
                return
            start = _read_rows(file, first, 1)[0]
            place = Place(start.number, start.line, start.offset)
            found = islice(self._source.records(self._length, place), last - first)
            for number in range(first, last, _ROWS_AT_ONCE):
                for row in _read_rows(file, number, min(_ROWS_AT_ONCE, last - number)):
                    record = next(found, None)
                    if record is None or (record.line, _digest(record)) != (row.line, row.digest):
                        raise self._changed(row)
                    yield record

    def _first_after(self, file: BinaryIO, usable: int) -> int:
        """Row of the first record before which so many can be scored; number of rows where none is such."""
        return bisect_left(
            range(self.n_records), usable, key=lambda number: _read_rows(file, number, 1)[0].usable
        )

    def base_counts(self) -> npt.NDArray[np.int64]:
        """Return how many of the usable sequences have each base at each position, as in the input.

        Returns
        -------
        int64 [2, 4, L]
            The counts of the sequences that are not on the minus strand, then of those that are.
        """
        with self.path.open("rb") as file:
            file.seek(self.n_records * _ROW.size)
            counts = np.frombuffer(file.read(8 * 2 * 4 * self._letters), "<i8")
        return counts.astype(np.int64).reshape(2, 4, self._letters)

    def _make(self, path: Path, identity: dict[str, Any]) -> None:
        content, bases = sha256(), BaseCounts(self._letters)
        n_records = n_usable = 0
        with SealedFile(path) as file, open_bytes(self._records, self._what) as binary:
            starts = LineStarts(binary)
            for record in self._source.records(self._length):
                number = record.region.index if isinstance(record, Record) else record.index
                offset = starts.offset(record.line)
                file.write(_ROW.pack(number, offset, record.line, n_usable, _digest(record)))
                n_records += 1
                if isinstance(record, Record):
                    n_usable += 1
                    content.update(record.content)
                    bases.add(record)
                if not n_records % _CHECKED_EVERY:
                    check_stopped()
            file.write(bases.total().astype("<i8").tobytes())
            counted = {"n_records": n_records, "n_usable": n_usable, "digest": content.hexdigest()}
            file.seal(identity | counted)

    def _changed(self, row: _Row) -> UserError:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        genome = f", or genome {self._source.genome}," if isinstance(self._source, GenomeSource) else ""
        return UserError(
            f"{self._what} {self._records}{genome} has changed since it was indexed: the record of line "
            f"{row.line} is another one now. The same command makes a new index; shards that were scored "
            "before the change have to be scored again"
        )


def _files(source: Source) -> tuple[Path, Path | None, str]:
    """Return the file of records, the genome if there is one, and the kind of the first in messages."""
    if isinstance(source, FastaSource):
        return source.path, None, "FASTA file"
    return source.regions, source.genome, "regions file"


def _digest(record: Record | Skipped) -> bytes:
    if isinstance(record, Record):
        content = record.content
    else:
        content = f"{record.index} {record.name}".encode("utf-8", "surrogatepass")
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _read_rows(file: BinaryIO, first: int, count: int) -> list[_Row]:
    file.seek(first * _ROW.size)
    return [_Row(*row) for row in _ROW.iter_unpack(file.read(count * _ROW.size))]
