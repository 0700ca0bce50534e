"""The variants of a VCF as pairs of windows; REF alleles are compared with the genome."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.run.batches import EVERY, Batch, SkippedRecords, in_batches
from deeplift_cli.sequences import Region, Selection, Skipped, one_hot
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.sequences.letters import foreign_letter, foreign_reason, normalise
from deeplift_cli.sequences.names import ChromosomeNames, printed
from deeplift_cli.sequences.renaming import fitting_style
from deeplift_cli.sequences.text import shorten
from deeplift_cli.variants.vcf import Variant, read_vcf
from deeplift_cli.variants.windows import Side, Window

_CHECKED_EVERY = 1024
_UNKNOWN_KEPT = 1000  # names that the genome lacks and that are kept to find a translation


@dataclass(frozen=True, slots=True)
class Pair:
    """Both alleles of a variant.

    Attributes
    ----------
    variant : Variant
    region : Region
        REF's window.
    windows : tuple of Window
        One window, or with the fill ``both`` the one that is filled on the right and the other.
    ref : bytes
        The letters of REF's window.
    alts : tuple of bytes
        The letters of ALT's window, for each of the windows.
    """

    variant: Variant
    region: Region
    windows: tuple[Window, ...]
    ref: bytes
    alts: tuple[bytes, ...]

    @property
    def content(self) -> bytes:
        """The letters of both alleles and their place, for a digest of all variants."""
        return b"\n".join((repr(self.region).encode("utf-8", "surrogatepass"), self.ref, *self.alts, b""))


@dataclass(frozen=True)
class PairBatch(Batch):
    """A batch of pairs; what `Batch` calls the sequences are the windows of REF.

    Attributes
    ----------
    alts : tuple of int8 array [N, 4, L]
        The windows of ALT: one, or with the fill ``both`` two.
    pairs : list of Pair
    """

    alts: tuple[npt.NDArray[np.int8], ...]
    pairs: list[Pair]

    @classmethod
    def of(cls, number: int, pairs: list[Pair]) -> "PairBatch":
        """Encode some pairs."""
        sides = zip(*(pair.alts for pair in pairs), strict=True)
        return cls(
            number,
            [pair.region for pair in pairs],
            one_hot([pair.ref for pair in pairs]),
            np.zeros(len(pairs), np.bool_),
            [pair.variant.line for pair in pairs],
            tuple(one_hot(letters) for letters in sides),
            pairs,
        )

    @property
    def gaps(self) -> npt.NDArray[np.bool_]:
        """Where the window of REF or one of the windows of ALT has no base: [N, L]."""
        found: npt.NDArray[np.bool_] = np.any(
            [~letters.any(1) for letters in (self.sequences, *self.alts)], axis=0
        )
        return found

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of both alleles' sequences, places and names."""
        content = sha256(super().digest)
        for alt in self.alts:
            content.update(alt.tobytes())
        content.update(repr([pair.variant for pair in self.pairs]).encode("utf-8", "surrogatepass"))
        return content.digest()

    def rows(self, kept: Sequence[int]) -> "PairBatch":
        """Return a batch with only these rows."""
        batch = super().rows(kept)
        return PairBatch(
            batch.number,
            batch.regions,
            batch.sequences,
            batch.turned,
            batch.lines,
            tuple(letters[kept] for letters in self.alts),
            [self.pairs[row] for row in kept],
        )


class VariantSource:
    """The variants of a VCF that lie on a genome.

    Parameters
    ----------
    genome : Genome
    path : Path
        The VCF, which the constructor reads once.
    selection : Selection
    fill : {"right", "left", "both"}
        The end at which the window of an insertion or a deletion is cut or filled.

    Attributes
    ----------
    path : Path
    n_records : int
        Number of ALT alleles, those that will be skipped included, those on other chromosomes not.
    n_left_out : int
        Number of ALT alleles on chromosomes that were not chosen.

    Raises
    ------
    UserError
        If the VCF cannot be read, the genome has none of its chromosomes, or most REF alleles are not what
        the genome has at their place.
    """

    def __init__(self, genome: Genome, path: Path, selection: Selection, fill: str) -> None:
        self._genome = genome
        self.path = path
        self._selection = selection
        self._sides: tuple[Side, ...] = ("right", "left") if fill == "both" else (_side(fill),)
        self._names = ChromosomeNames(genome.sizes)
        chosen = selection.chroms
        self._chosen = None if chosen is None else frozenset(map(selection.translated, chosen))
        self.n_records = self.n_left_out = 0
        self._survey()

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Lengths of the genome's chromosomes in bp."""
        return dict(self._genome.sizes)

    def _variants(self) -> Iterator[Variant]:
        return read_vcf(self.path, self._selection.translated)

    def _is_chosen(self, variant: Variant) -> bool:
        return self._chosen is None or variant.place in self._chosen

    def _survey(self) -> None:
        """Read the whole VCF once: count variants, and compare all REF alleles with the genome."""
        known, compared, mismatches = False, 0, 0
        unknown = dict[str, None]()
        first: Variant | None = None
        first_mismatch = ""
        for number, variant in enumerate(self._variants()):
            if not number % _CHECKED_EVERY:
                check_stopped()
            first = first or variant
            if variant.place in self._genome.sizes:
                known = True
            elif len(unknown) < _UNKNOWN_KEPT:
                unknown[variant.place] = None
            if not self._is_chosen(variant):
                self.n_left_out += 1
                continue
            self.n_records += 1
            if variant.fault is None and self._is_on_chromosome(variant):
                compared += 1
                reason = self._mismatch(variant)
                if reason is not None:
                    mismatches += 1
                    first_mismatch = first_mismatch or f"{variant.name} (line {variant.line}) {reason}"
        assert first is not None
        if not known:
            raise self._no_chromosome(first, list(unknown))
        if not self.n_records:
            chosen = ", ".join(self._selection.chroms or ())
            raise UserError(f"VCF file {self.path} has no variant on the chromosomes of --chroms ({chosen})")
        if 2 * mismatches > compared:
            raise UserError(
                f"{mismatches:,} of {compared:,} REF alleles of VCF file {self.path} are not what the "
                f"genome has at their place; the first, {first_mismatch}. The VCF is probably of another "
                "genome build: give the genome for which it was made"
            )

    def _no_chromosome(self, first: Variant, unknown: list[str]) -> UserError:
        compared = self._names.compare(first.place, "the VCF says", "the genome has")
        style = fitting_style(unknown, self._genome.sizes)
        remedy = (
            f"--rename-chroms {style} translates the VCF's names"
            if style is not None
            else "make the names agree, or give --rename-chroms FILE with the VCF's names and the genome's"
        )
        return UserError(f"the genome has no chromosome of VCF file {self.path}: {compared}; {remedy}")

    def _is_on_chromosome(self, variant: Variant) -> bool:
        size = self._genome.sizes.get(variant.place, 0)
        return variant.pos - 1 + len(variant.ref) <= size

    def _mismatch(self, variant: Variant) -> str | None:
        """Return how the REF allele differs from the genome; None if it does not, whatever the case."""
        start = variant.pos - 1
        there = self._genome.fetch(variant.place, start, start + len(variant.ref))
        if there == normalise(variant.ref.encode()):
            return None
        return f"has the REF allele {shorten(variant.ref)}, where the genome has {shorten(there.decode())}"

    def records(self, length: int) -> Iterator[Pair | Skipped]:
        """Yield the variants in the VCF's order; the method may be called several times.

        Parameters
        ----------
        length : int
            L, the length of the windows in bp.
        """
        for variant in self._variants():
            if not self._is_chosen(variant):
                continue
            found = self._pair(variant, length)
            if isinstance(found, str):
                yield Skipped(variant.index, printed(variant.name), variant.line, found)
            else:
                yield found

    def usable(self, length: int) -> Iterator[Pair]:
        """Yield the variants that can be scored, as `records`."""
        for number, record in enumerate(self.records(length)):
            if not number % _CHECKED_EVERY:
                check_stopped()
            if isinstance(record, Pair):
                yield record

    def _pair(self, variant: Variant, length: int) -> Pair | str:
        """Return both alleles of a variant, or the reason to skip the variant."""
        if variant.fault is not None:
            return variant.fault
        size = self._genome.sizes.get(variant.place)
        if size is None:
            compared = self._names.compare(variant.place, "the VCF says", "the genome has")
            return f"is on a chromosome that the genome lacks: {compared}"
        if not self._is_on_chromosome(variant):
            return f"lies outside its chromosome, which has {size:,} bp"
        ref, alt = (normalise(allele.encode()) for allele in (variant.ref, variant.alt))
        windows = tuple(Window(length, variant.pos - 1, ref, alt, side) for side in self._sides)
        window = windows[0]
        if not window.is_wide_enough:
            return (
                f"has an allele of {max(len(ref), len(alt)):,} bp; the window of {length:,} bp has room for "
                f"{length - length // 2:,}"
            )
        reason = self._mismatch(variant)
        if reason is None and not self._selection.pad:
            reason = _beyond_ends(windows, variant.place, size)
        if reason is not None:
            return reason

        def fetch(start: int, end: int) -> bytes:
            return self._genome.padded(variant.place, start, end)

        letters = window.reference(fetch)
        others = tuple(each.alternative(fetch) for each in windows)
        where = f"{variant.place}:{window.start}-{window.end}"
        for allele, text in (("REF", letters), *(("ALT", other) for other in others)):
            reason = self._reason_in_letters(text, f"its window of {allele}, {where}")
            if reason is not None:
                return reason
        region = Region(variant.place, window.start, window.end, variant.name, ".", variant.index)
        return Pair(variant, region, windows, letters, others)

    def _reason_in_letters(self, letters: bytes, window: str) -> str | None:
        place = foreign_letter(letters)
        if place is not None:
            return foreign_reason(letters[place : place + 1], place, f" of {window}")
        return self._selection.reason_in_bases(letters, f"in {window}")

    def batches(
        self, rows: int, length: int, share: range = EVERY
    ) -> Generator[PairBatch | SkippedRecords, None, None]:
        """Read a share of the variants, as `in_batches`, where a batch has K pairs of windows of L bases."""
        return in_batches(self.records(length), rows, PairBatch.of, share)


def _side(fill: str) -> Side:
    return "left" if fill == "left" else "right"


def _beyond_ends(windows: Sequence[Window], chrom: str, size: int) -> str | None:
    for window in windows:
        start, end = window.span
        text = f"has its window at {chrom}:{start}-{end}"
        if start < 0 or end > size:
            passed = "begins before" if start < 0 else "ends after"
            return f"{text}, which {passed} the chromosome ({size} bp; --edge pad fills the window with N)"
    return None
