"""Windows of a genome around the regions of a BED or narrowPeak file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.bed import BedLine, read_bed
from deeplift_cli.sequences.genome_files import READING_ERRORS, prepare_genome
from deeplift_cli.sequences.letters import foreign_letter, foreign_reason, is_sequence, normalise
from deeplift_cli.sequences.names import ChromosomeNames, printed
from deeplift_cli.sequences.notes import Note, say_nothing
from deeplift_cli.sequences.records import BEGINNING, Facts, Place, Record, Region, Skipped
from deeplift_cli.sequences.renaming import fitting_style
from deeplift_cli.sequences.selection import EVERYTHING, Selection
from deeplift_cli.sequences.text import shorten

_LONGEST_LINE_READ_WHOLE = 2**12
_UNKNOWN_KEPT = 1000  # names that the genome lacks and that are kept to find a translation


class GenomeSource:
    """Sequences of a genome at given regions.

    Letters are those of the genome's plus strand, whatever the regions' strands.

    Parameters
    ----------
    genome : str or Path
        A FASTA file: plain or bgzip is read in place, other gzip is unpacked to the cache.
    regions : str or Path
        BED3 to narrowPeak. The constructor reads the file once, so that a file that does not parse is refused
        before any work.
    note : callable, optional
        Called with one line before work that takes a while and is done once (indexing, unpacking).
    facts : Facts, optional
        What an earlier source found in the same regions file and genome; the first is then not read here.
    selection : Selection, optional
        The choice of the regions, and the translation of their chromosomes to the genome's names.

    Attributes
    ----------
    facts : Facts
    orientation : str
        "genome": letters are those of the plus strand.

    Raises
    ------
    UserError
        When a file cannot be read or does not parse, the genome has none of the regions' chromosomes or not
        one of those that were chosen, or no region is on these.
    """

    orientation = "genome"

    def __init__(
        self,
        genome: str | Path,
        regions: str | Path,
        note: Note = say_nothing,
        facts: Facts | None = None,
        selection: Selection = EVERYTHING,
    ) -> None:
        self.genome = Path(genome)
        self.regions = Path(regions)
        self.selection = selection
        # A file that is no regions file is refused before the genome is indexed.
        first = self._first_region() if facts is None else None
        self._fasta = Genome(self.genome, note)
        self._names = ChromosomeNames(self._fasta.sizes)
        self._chosen = self._chosen_chromosomes()
        if first is not None:
            facts = self._find_facts(first)
        assert facts is not None
        self.facts = facts
        self._drawn = self._draw()

    @property
    def n_records(self) -> int:
        """The number of regions to score, those that will be skipped included."""
        return self.facts.n_records if self._drawn is None else len(self._drawn)

    def _draw(self) -> frozenset[int] | None:
        """Return the numbers, in the file, of the regions in the sample; None if all are scored."""
        sample = self.selection.sample
        drawn = None if sample is None else sample.drawn_of(self.facts.n_records)
        if drawn is None or self._chosen is None:
            return None if drawn is None else frozenset(drawn)
        places = frozenset(drawn)
        chosen = (region for region in self._regions() if self._is_chosen(region))
        return frozenset(region.index for place, region in enumerate(chosen) if place in places)

    def _regions(self, start: Place = BEGINNING) -> Iterator[BedLine]:
        """Yield all regions, with chromosomes in the genome's spelling."""
        return read_bed(self.regions, start, self.selection.translated)

    def _chosen_chromosomes(self) -> frozenset[str] | None:
        """The chosen chromosomes in the genome's spelling; None if all are chosen."""
        if self.selection.chroms is None:
            return None
        chosen = frozenset(map(self.selection.translated, self.selection.chroms))
        for name in sorted(chosen - self._fasta.sizes.keys()):
            compared = self._names.compare(name, "--chroms says", "the genome has")
            raise UserError(f"genome {self.genome} lacks a chromosome of --chroms: {compared}")
        return chosen

    def _is_chosen(self, region: BedLine) -> bool:
        return self._chosen is None or region.chrom in self._chosen

    def _find_facts(self, first: BedLine) -> Facts:
        """Read the whole regions file once, and return its facts."""
        n_regions, n_chosen, any_known = 0, 0, False
        unknown = dict[str, None]()
        first_usable: BedLine | None = None
        shortest = longest = 0
        for region in self._regions():
            n_regions += 1
            if region.chrom in self._fasta.sizes:
                any_known = True
            elif len(unknown) < _UNKNOWN_KEPT:
                unknown[region.chrom] = None
            if self._is_chosen(region):
                n_chosen += 1
                if self._may_be_scored(region):
                    width = region.end - region.start
                    shortest, longest = min(shortest or width, width), max(longest, width)
                    first_usable = first_usable or region
        if not any_known:
            raise self._no_chromosome(first, unknown)
        if self.selection.chroms is not None and first_usable is None:
            raise UserError(
                f"regions file {self.regions} has no region that can be scored on the chromosomes of "
                f"--chroms ({', '.join(self.selection.chroms)}); its first is on {shorten(first.chrom)}"
            )
        usable = first_usable or first
        return Facts(
            n_chosen,
            usable.end - usable.start,
            n_left_out=n_regions - n_chosen,
            shortest=shortest,
            longest=longest,
        )

    def _may_be_scored(self, region: BedLine) -> bool:
        """Return whether there is a window of some length around it."""
        return region.fault is None and 0 <= _centre(region) < self._fasta.sizes.get(region.chrom, 0)

    def _no_chromosome(self, first: BedLine, unknown: Iterable[str]) -> UserError:
        """Return the error for a genome without the regions' chromosomes, with the option that helps."""
        renamed = ", renamed," if self.selection.renaming is not None else ""
        compared = self._names.compare(first.chrom, f"regions{renamed} say", "the genome has")
        style = fitting_style(unknown, self._fasta.sizes)
        remedy = (
            f"--rename-chroms {style} translates the regions' names"
            if style is not None
            else "make the names agree, or give --rename-chroms FILE with the regions' names and the genome's"
        )
        return UserError(
            f"genome {self.genome} has no chromosome of the regions file {self.regions}: {compared}; {remedy}"
        )

    def _first_region(self) -> BedLine:
        """Return the first region without a fault."""
        first: BedLine | None = None
        for region in self._regions():
            if region.fault is None:
                return region
            first = first or region
        assert first is not None
        raise UserError(
            f"regions file {self.regions} has no region that can be scored; the first, "
            f"{shorten(first.name)} (line {first.line}), {first.fault}"
        )

    def chrom_sizes(self) -> dict[str, int]:
        """Return the length of each chromosome in bp, in the genome's order."""
        return dict(self._fasta.sizes)

    def first_length(self) -> int:
        """Return the length of the first region in the file, end - start."""
        return self.facts.first_length

    def records(self, length: int | None, start: Place = BEGINNING) -> Iterator[Record | Skipped]:
        """Yield the regions in the file's order; the method may be called several times.

        Parameters
        ----------
        length : int or None
            The length of the windows, which are centred on each region's summit, or on the midpoint of a
            region without a summit: start = centre - length // 2. With None, the regions themselves are the
            windows, and must have the length of the first region.
        start : Place
            The region to begin with.

        Yields
        ------
        Record or Skipped
            Regions on chromosomes that were not chosen, and those that are not in the sample, are left out.
            The reader skips windows that pass an end of their chromosome (with `Selection.pad` only those
            whose centre does), have no base (A, C, G or T), too few of them (`Selection.max_n`) or a letter
            that stands for no nucleotide. The reader also skips regions on unknown chromosomes, of another
            length than the first (length None), with a summit outside themselves, or with names or
            coordinates that outputs cannot hold.
        """
        for region in self._regions(start):
            if not self._is_chosen(region) or (self._drawn is not None and region.index not in self._drawn):
                continue
            first = region.start if length is None else _centre(region) - length // 2
            end = first + (self.first_length() if length is None else length)
            reason = self._reason_to_skip(region, first, end, any_length=length is None)
            if reason is None:
                letters = self._fasta.padded(region.chrom, first, end)
                reason = self._reason_in_letters(letters, f"its window {region.chrom}:{first}-{end}")
                if reason is None:
                    window = Region(region.chrom, first, end, region.name, region.strand, region.index)
                    yield Record(window, letters, True, region.line)
                    continue
            yield Skipped(region.index, printed(region.name), region.line, reason)

    def _reason_to_skip(self, region: BedLine, start: int, end: int, *, any_length: bool) -> str | None:
        if region.fault is not None:
            return region.fault
        own_length = region.end - region.start
        size = self._fasta.sizes.get(region.chrom)
        if size is None:
            renamed = ", renamed," if self.selection.renaming is not None else ""
            compared = self._names.compare(region.chrom, f"its region{renamed} says", "the genome has")
            style = fitting_style([region.chrom], self._fasta.sizes)
            remedy = "" if style is None else f" (--rename-chroms {style} translates it)"
            return f"is on a chromosome that the genome lacks: {compared}{remedy}"
        if any_length and own_length != self.first_length():
            return f"is {own_length} bp long; the first region has {self.first_length()} bp"
        if not any_length and region.summit is not None and region.summit >= own_length:
            return f"has its summit at {region.summit}, outside its own {own_length} bp"
        window = f"has its window at {region.chrom}:{start}-{end}"
        if not 0 <= (start + end) // 2 < size:
            return (
                f"{window}, whose centre lies outside the chromosome ({size} bp; are regions and genome of "
                "one assembly?)"
            )
        if start >= 0 and end <= size:
            return None
        passed = "begins before" if start < 0 else "ends after"
        if self.selection.pad:
            return None
        return f"{window}, which {passed} the chromosome ({size} bp; --edge pad fills the window with N)"

    def _reason_in_letters(self, letters: bytes, window: str) -> str | None:
        place = foreign_letter(letters)
        if place is not None:
            return foreign_reason(letters[place : place + 1], place, f" of {window}")
        return self.selection.reason_in_bases(letters, f"in {window}")


def _centre(region: BedLine) -> int:
    if region.summit is not None:
        return region.start + region.summit
    return (region.start + region.end) // 2


class Genome:
    """Random access to the sequences of a FASTA file.

    Parameters
    ----------
    path : Path
        FASTA: plain, bgzip or gzip.
    note : callable
        Called with one line before work that is done once.

    Attributes
    ----------
    sizes : dict of str to int
        Length of each sequence in bp.

    Raises
    ------
    UserError
        If the file cannot be read.
    """

    def __init__(self, path: Path, note: Note = say_nothing) -> None:
        self._path = path
        self._faidx = prepare_genome(path, note)
        self.sizes: dict[str, int] = {name: entry.rlen for name, entry in self._faidx.index.items()}

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        """Return the letters of a window within its chromosome, in upper case, U as T.

        Raises
        ------
        UserError
            If the file is damaged at the window, has changed since it was opened, or has lines that do not
            fit its index.
        """
        where = f"genome {self._path} cannot be read at {chrom}:{start}-{end}"
        # Whole lines are read, unless the lines are very long: the text from pyfaidx begins with the line end
        # before the first line, and ends with that of the last line. If a line before is too short or too
        # long, one of these line ends is missing, and there is one letter too many.
        line = self._faidx.index[chrom].lenc
        if line > _LONGEST_LINE_READ_WHOLE:
            line = 1
        first, last = start - start % line, min(end + -end % line, self.sizes[chrom])
        try:
            text = self._read(chrom, first, last, line)
        except READING_ERRORS as error:
            raise UserError(f"{where}: {error}; the file is damaged, or is being changed") from error
        window = text[start - first : end - first]
        if window and not is_sequence(window):
            wrong = next(letter for letter in window if not is_sequence(letter))
            raise UserError(f"{where}: there is {wrong!a}; a sequence is made of letters, '*' and '-' only")
        if len(text) != last - first or len(window) != end - start:
            raise UserError(
                f"{where}: its lines are not as in its index. If the genome has just been changed, run this "
                f"again; otherwise delete {self._path.name}.fai, and an index is made anew"
            )
        return normalise(window.encode("ascii"))

    def padded(self, chrom: str, start: int, end: int) -> bytes:
        """Return the letters of a window as `fetch`, with N beyond the ends of its chromosome."""
        size = self.sizes[chrom]
        first, last = min(max(start, 0), size), max(min(end, size), 0)
        if last <= first:
            return b"N" * (end - start)
        return b"N" * (first - start) + self.fetch(chrom, first, last) + b"N" * (end - last)

    def _read(self, chrom: str, first: int, last: int, line: int) -> str:
        try:
            return str(self._faidx.fetch(chrom, first + 1, last))
        except ValueError:
            # pyfaidx 0.9.2.2 cannot begin at the first byte of a block if the block before is full (65,536
            # bytes, as Biopython writes blocks), so reading begins one line earlier.
            if first < line:
                raise
            return str(self._faidx.fetch(chrom, first + 1 - line, last))[line:]
