"""The reader: the input's records as one-hot batches, and as lists of those that cannot be scored."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.chrom_sizes import Placement
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.sequences import InputIndex, Record, Region, Skipped, Source, one_hot, whole_input
from deeplift_cli.sequences.cache import CacheError
from deeplift_cli.sequences.encode import reverse_complement
from deeplift_cli.sequences.names import printed

SkippedRecords = list[Skipped]
EVERY = range(sys.maxsize)  # the numbers of all batches

_CHECKED_EVERY = 1024
# The reader yields at most so many skipped records at a time: a file may hold millions of them.
_SKIPPED_AT_MOST = 1024

Usable = TypeVar("Usable")
Encoded = TypeVar("Encoded", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """A batch of at most K sequences.

    Attributes
    ----------
    number : int
        The number of the batch among all batches of the job, counted from 0.
    regions : list of Region
    sequences : int8 array [N, 4, L]
        One-hot sequences in the orientation in which the model scores them.
    turned : bool array [N]
        True for sequences that are the reverse complement of the genome; their scores are turned back.
    lines : list of int, [N]
        The line in which each record begins, counted from 1.
    """

    number: int
    regions: list[Region]
    sequences: npt.NDArray[np.int8]
    turned: npt.NDArray[np.bool_]
    lines: list[int]

    def rows(self, kept: Sequence[int]) -> "Batch":
        """Return a batch with only these rows."""
        return Batch(
            self.number,
            [self.regions[row] for row in kept],
            self.sequences[kept],
            self.turned[kept],
            [self.lines[row] for row in kept],
        )

    def divided(self, reasons: Mapping[int, str]) -> tuple[list[int], list[Skipped]]:
        """Return the rows that are kept, and the other rows as skipped records.

        Parameters
        ----------
        reasons : mapping of int to str
            Why a row is left out, by row.
        """
        kept = [row for row in range(len(self.regions)) if row not in reasons]
        skipped = [
            Skipped(self.regions[row].index, printed(self.regions[row].name), self.lines[row], reason)
            for row, reason in sorted(reasons.items())
        ]
        return kept, skipped

    def rows_without(self, skipped: Iterable[Skipped]) -> list[int]:
        """Return the rows that are none of these records."""
        left_out = {record.index for record in skipped}
        return [row for row, region in enumerate(self.regions) if region.index not in left_out]

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of sequences, places and names, which is equal for equal records only."""
        content = sha256(self.sequences.tobytes())
        content.update(repr(self.regions).encode("utf-8", "surrogatepass"))
        return content.digest()


def in_batches(
    records: Iterable[Usable | Skipped],
    rows: int,
    encoded: Callable[[int, list[Usable]], Encoded],
    share: range = EVERY,
    first: int = 0,
) -> Generator[Encoded | SkippedRecords, None, None]:
    """Divide records into batches of K, and take a share of these.

    Parameters
    ----------
    records : iterable of records or Skipped
        Records in the order of the input.
    rows : int
        K, the number of records in each batch but the last of the input.
    encoded : callable
        Returns the batch of a number and of its records.
    share : range
        The numbers of the wanted batches, without gaps; by default all. Skipped records after the last batch
        count as one more batch: the share that holds its number gets these records.
    first : int
        The number of the batch with which the records begin.

    Yields
    ------
    batch or list of Skipped
        In the order of the input: the records that cannot be scored come before the batch in or before which
        they stand.
    """
    number, chosen, skipped = first, list[Usable](), SkippedRecords()
    for record in records:
        if isinstance(record, Skipped):
            skipped += [record] if number in share else []
        else:
            chosen.append(record)
        if len(skipped) == _SKIPPED_AT_MOST:
            yield skipped
            skipped = []
        if len(chosen) < rows:
            continue
        check_stopped()
        if number in share:
            yield from [skipped] if skipped else []
            yield encoded(number, chosen)
        number, chosen, skipped = number + 1, [], []
        if number >= share.stop:
            return
    check_stopped()
    yield from [skipped] if skipped else []
    if chosen and number in share:
        yield encoded(number, chosen)


class Records:
    """The input's records, which may be read several times.

    Parameters
    ----------
    source : FastaSource or GenomeSource
    length : int
        L of the sequences that the model scores.
    strand_aware : bool
        True to score windows on the minus strand of a genome as reverse complements.
    """

    def __init__(self, source: Source, length: int, *, strand_aware: bool) -> None:
        self._source = source
        self._length = length
        self._strand_aware = strand_aware
        self._index: InputIndex | None = None
        self._may_have_index: tuple[Path, Callable[[str], None]] | None = None
        self._surveyed: tuple[int, str] | None = None

    @cached_property
    def whole(self) -> "Records":
        """All records of the input, of which these may be a sample; with an index if these have one."""
        source = whole_input(self._source)
        if source is self._source:
            return self
        found = Records(source, self._length, strand_aware=self._strand_aware)
        if self._may_have_index is not None:
            found.find_index(*self._may_have_index)
        return found

    @property
    def n_records(self) -> int:
        """The number of records, those that cannot be scored included."""
        return self._source.n_records

    def find_index(self, path: Path, note: Callable[[str], None]) -> None:
        """Read the input by its index from now on; the index is made if there is none.

        If the cache folder cannot be written, the records are read without an index.

        Parameters
        ----------
        path : Path
            The records' file, which the note names.
        note : callable
            Called with one line if an index is made, or cannot be made.
        """
        self._may_have_index = path, note
        try:
            self._index = InputIndex(self._source, self._length, note)
        except CacheError as error:
            note(f"{error}: without an index this shard reads the whole of {path}")

    def base_counts(self) -> npt.NDArray[np.int64] | None:
        """Return how many of the sequences, as they are scored, have each base at each position: [4, L].

        The result is None if there is no index, or no sequence.
        """
        if self._index is None or not self._index.n_usable:
            return None
        plus, minus = self._index.base_counts()
        counts: npt.NDArray[np.int64] = plus + (reverse_complement(minus) if self._turns_minus else minus)
        return counts

    @property
    def _turns_minus(self) -> bool:
        """True if sequences on the minus strand are reverse complemented before they are scored."""
        return self._strand_aware and self._source.orientation == "genome"

    def __iter__(self) -> Iterator[Record | Skipped]:
        return iter(self._source.records(self._length))

    def usable(self) -> Iterator[Record]:
        """Records that can be scored."""
        return (record for record in self if not isinstance(record, Skipped))

    def survey(self) -> tuple[int, str]:
        """Return the number of records that can be scored, and the SHA-256 of their letters and places."""
        if self._index is not None:
            return self._index.n_usable, self._index.digest
        if self._surveyed is None:
            self._surveyed = self._survey()
        return self._surveyed

    def _survey(self) -> tuple[int, str]:
        count, content = 0, sha256()
        for record in self.usable():
            count += 1
            content.update(record.content)
            if not count % _CHECKED_EVERY:
                check_stopped()
        return count, content.hexdigest()

    def batches(self, rows: int, share: range = EVERY) -> Generator[Batch | SkippedRecords, None, None]:
        """Read a share of the input, as `in_batches`, where a batch has K sequences."""
        first, found = 0, iter(self)
        if self._index is not None:
            first, found = share.start, iter(self._index.records(share, rows))
        return in_batches(found, rows, self._encoded, share, first)

    def check_places(self, sizes: dict[str, int], *, padded: bool) -> None:
        """Refuse, before any work, a record that has no place in a bigWig.

        Parameters
        ----------
        sizes : dict of str to int
            Lengths of chromosomes in bp.
        padded : bool
            Whether windows may pass the ends of chromosomes.

        Raises
        ------
        UserError
            With the name of the first such record.
        """
        placement = Placement(sizes, padded=padded)
        for record in self.usable():
            placement.check(record.region)

    def _encoded(self, number: int, records: list[Record]) -> Batch:
        """Return the sequences of these records in the orientation in which the model scores them.

        Windows of a genome have the genome's orientation; with `--strand-aware`, those on the minus strand
        are reverse complemented. A FASTA record whose name says minus strand already holds the reverse
        complement (bedtools getfasta -s).
        """
        sequences = one_hot([record.letters for record in records])
        minus = np.array([record.is_on_minus_strand for record in records])
        if self._source.orientation == "strand":
            turned = minus
        else:
            turned = minus & self._turns_minus
            sequences[turned] = reverse_complement(sequences[turned])
        regions, lines = [record.region for record in records], [record.line for record in records]
        return Batch(number, regions, sequences, turned, lines)
