"""The input's records as one-hot batches."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np
import numpy.typing as npt

from deeplift_cli.models.explainer import Explained
from deeplift_cli.models.scorer import reverse_complement
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.chrom_sizes import Placement
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.sequences import FastaSource, InputIndex, Record, Region, Skipped, Source, one_hot
from deeplift_cli.sequences.cache import CacheError

_CHECKED_EVERY = 1024


@dataclass(frozen=True)
class Batch:
    """At most K sequences.

    Attributes
    ----------
    regions : list of Region
    sequences : int8 array [N, 4, L]
        As they are scored.
    turned : bool array [N]
        Whether they run against the genome's direction, so that scores are turned back.
    lines : list of int, [N]
        Where each record begins in its file, counted from 1.
    """

    regions: list[Region]
    sequences: npt.NDArray[np.int8]
    turned: npt.NDArray[np.bool_]
    lines: list[int]

    def rows(self, kept: Sequence[int]) -> "Batch":
        """Return these rows only."""
        return Batch(
            [self.regions[row] for row in kept],
            self.sequences[kept],
            self.turned[kept],
            [self.lines[row] for row in kept],
        )

    @property
    def digest(self) -> bytes:
        """Tells whether two batches hold the same records: SHA-256 of sequences, places and names."""
        content = sha256(self.sequences.tobytes())
        content.update(repr(self.regions).encode("utf-8", "surrogatepass"))
        return content.digest()


class Records:
    """The input's records, which may be gone through several times.

    Parameters
    ----------
    options : ScoreOptions
    source : Source
    explained : Explained
    """

    def __init__(self, options: ScoreOptions, source: Source, explained: Explained) -> None:
        self._options = options
        self._source = source
        # With None a FASTA source says "the first record has", not "the model takes", of other lengths.
        any_length = explained.takes_any_length and isinstance(source, FastaSource)
        self._length = None if any_length else explained.length
        self._index: InputIndex | None = None

    @property
    def n_records(self) -> int:
        """How many there are, those that cannot be scored included."""
        return self._source.n_records

    def find_index(self, note: Callable[[str], None]) -> None:
        """From now on read by an index of the input, which is made if there is none.

        Without a cache that can be written everything is read as if there were no index.

        Parameters
        ----------
        note : callable
            Told in one line if an index is made, and if it cannot be.
        """
        try:
            self._index = InputIndex(self._source, self._length, note)
        except CacheError as error:
            note(f"{error}: without an index this shard reads the whole of {self._options.records}")

    def base_counts(self) -> npt.NDArray[np.int64] | None:
        """How many of the sequences, as they are scored, have each base at each position: [4, L].

        None if there is no index, or no sequence.
        """
        if self._index is None or not self._index.n_usable:
            return None
        plus, minus = self._index.base_counts()
        counts: npt.NDArray[np.int64] = plus + (reverse_complement(minus) if self._turns_minus else minus)
        return counts

    @property
    def _turns_minus(self) -> bool:
        """Whether sequences on the minus strand are turned before they are scored."""
        return self._options.strand_aware and self._source.orientation == "genome"

    def usable(self, skip: Callable[[Skipped], None] = lambda _: None) -> Iterator[Record]:
        """Records that can be scored; ``skip`` gets the others."""
        return _usable(self._source.records(self._length), skip)

    def survey(self) -> tuple[int, str]:
        """How many can be scored, and what tells their letters and places from others' (SHA-256)."""
        if self._index is not None:
            return self._index.n_usable, self._index.digest
        count, content = 0, sha256()
        for record in self.usable():
            count += 1
            content.update(record.content)
            if not count % _CHECKED_EVERY:
                check_stopped()
        return count, content.hexdigest()

    def batches(
        self, rows: int, share: range | None = None, skip: Callable[[Skipped], None] = lambda _: None
    ) -> Iterator[Batch]:
        """Records that can be scored, so many at a time.

        Parameters
        ----------
        rows : int
        share : range, optional
            The batches that are wanted, by their numbers, in one piece; by default all. What comes after the
            last batch counts as one more: a share that holds it gets what is skipped there.
        skip : callable
            Gets the records that cannot be scored, those before a wanted batch or in it.
        """
        share = range(sys.maxsize) if share is None else share
        number = 0
        found = self._source.records(self._length)
        if self._index is not None:
            number = share.start
            found = self._index.records(share, rows)
        records = _usable(found, lambda record: skip(record) if number in share else None)
        while number < share.stop and (chunk := list(islice(records, rows))):
            check_stopped()
            if number in share:
                yield _encode(chunk, self._source, self._options)
            number += 1

    def check_places(self, sizes: dict[str, int]) -> None:
        """Refuse, before any work, what has no place in a bigWig.

        Raises
        ------
        UserError
            Naming the first such record.
        """
        placement = Placement(sizes)
        for record in self.usable():
            placement.check(record.region)


def _usable(records: Iterator[Record | Skipped], skip: Callable[[Skipped], None]) -> Iterator[Record]:
    """Records that can be scored; ``skip`` gets the others."""
    for record in records:
        if isinstance(record, Skipped):
            skip(record)
        else:
            yield record


def _encode(records: list[Record], source: Source, options: ScoreOptions) -> Batch:
    """Sequences as they are scored.

    Windows of a genome run along it; with `--strand-aware` those on the minus strand are turned. A FASTA
    record whose name says minus strand holds the reverse complement already (bedtools getfasta -s).
    """
    sequences = one_hot([record.letters for record in records])
    minus = np.array([record.is_on_minus_strand for record in records])
    if source.orientation == "strand":
        turned = minus
    else:
        turned = minus & options.strand_aware
        sequences[turned] = reverse_complement(sequences[turned])
    return Batch(
        [record.region for record in records], sequences, turned, [record.line for record in records]
    )
