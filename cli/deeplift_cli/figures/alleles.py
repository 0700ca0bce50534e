"""Both alleles of a variant from a file of `deeplift variants`, as rows that lie above each other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.figures.colours import BASES
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.rows import Row
from deeplift_cli.options.rows import Locus
from deeplift_cli.outputs.datasets import STANDARD_ERRORS
from deeplift_cli.process.watched_child import LostError, watched
from deeplift_cli.sequences.names import printed

_NAMED = 3  # variants that a message names
_KEYS = ("chrom", "pos", "id", "ref", "alt")
_LONGEST_ALLELE = 20  # letters that a label shows


@dataclass(frozen=True)
class Variant:
    """One line of a VCF, with one alternative allele; `pos` is 1-based, as there."""

    index: int
    chrom: str
    pos: int
    id: str
    ref: str
    alt: str

    def __str__(self) -> str:
        return f"{self.chrom}:{self.pos}:{self.ref}:{self.alt}"


@dataclass(frozen=True)
class Alleles:
    """Both alleles of a variant, and the x axis on which they are placed."""

    variant: Variant
    rows: tuple[Row, Row]
    coordinates: Coordinates


def read_alleles(path: Path, wanted: str) -> Alleles:
    """Find a variant and read both alleles, in a child process, since HDF5 may crash.

    Parameters
    ----------
    path : Path
    wanted : str
        The variant's ID, or chrom:pos:ref:alt, or its number from 0.

    Raises
    ------
    UserError
        If the file is none of `deeplift variants`, is damaged, or has no such variant or several.
    """
    try:
        return watched(lambda alive: _read(path, wanted, alive))
    except LostError as error:
        raise UserError(f"{path} is damaged: reading it, HDF5 {error}; score the variants again") from error


def _read(path: Path, wanted: str, alive: Callable[[], None]) -> Alleles:
    if not path.is_file():
        raise UserError(f"file of variants {path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in ("variants", "ref", "alt") if name not in file]
            if missing:
                raise UserError(
                    f"{path} has no group {missing[0]}, so it is no file of `deeplift variants`; for a score "
                    "file, give --name, --region or --index"
                )
            variants = _variants(file["variants"])
            alive()
            variant = _found(path, variants, wanted)
            groups = [_Allele.read(file[name], variant.index) for name in ("ref", "alt")]
            return _aligned(path, variant, *groups)
    except UserError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # h5py raises many types of exceptions at a damaged file
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"file of variants {path} cannot be read: {detail}") from error


def _variants(group: h5py.Group) -> list[Variant]:
    columns = [
        group[key][:].tolist() if key == "pos" else [_text(value) for value in group[key][:]] for key in _KEYS
    ]
    return [Variant(index, *fields) for index, fields in enumerate(zip(*columns, strict=True))]


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _found(path: Path, variants: list[Variant], wanted: str) -> Variant:
    fitting = [variant for variant in variants if wanted in (variant.id, str(variant))]
    if not fitting and wanted.isdecimal() and int(wanted) < len(variants):
        fitting = [variants[int(wanted)]]
    if len(fitting) == 1:
        return fitting[0]
    some = fitting or variants
    listed = ", ".join(f"{variant.index} ({printed(str(variant))})" for variant in some[:_NAMED])
    listed += ", ..." if len(some) > _NAMED else ""
    if fitting:
        raise UserError(
            f"{len(fitting):,} variants of {path} are {printed(wanted)!r}: {listed}; say which by its number "
            "or as chrom:pos:ref:alt"
        )
    raise UserError(f"{path} has no variant {printed(wanted)!r}; its {len(variants):,} variants are {listed}")


@dataclass(frozen=True)
class _Allele:
    """A row of one of the two groups of scores."""

    chrom: str
    start: int
    sequence: npt.NDArray[np.int8]
    contributions: npt.NDArray[np.float32]
    hypothetical: npt.NDArray[np.float32]
    standard_error: npt.NDArray[np.float32] | None

    @classmethod
    def read(cls, group: h5py.Group, row: int) -> "_Allele":
        return cls(
            _text(group["regions/chrom"][row]),
            int(group["regions/start"][row]),
            group["raw/seq"][row],
            group["projected_shap/seq"][row].sum(axis=0, dtype=np.float32),
            group["shap/seq"][row].astype(np.float32),
            group[STANDARD_ERRORS][row] if STANDARD_ERRORS in group else None,
        )

    def letters(self, first: int, last: int) -> str:
        columns = self.sequence[:, first:last].T
        return "".join(BASES[column.argmax()] if column.any() else "N" for column in columns)


def _aligned(path: Path, variant: Variant, ref: _Allele, alt: _Allele) -> Alleles:
    """Place the bases of both alleles so that bases of the same coordinate lie above each other."""
    length = ref.sequence.shape[1]
    at = length // 2  # the first base of the reference allele
    n_ref, n_alt = len(variant.ref), len(variant.alt)
    # The window of the other allele is filled from the genome on the right, or on the left.
    begins = at if ref.letters(0, at) == alt.letters(0, at) else at + n_ref - n_alt
    if not (_holds(ref, at, variant.ref) and _holds(alt, begins, variant.alt)):
        raise UserError(f"{path}: the sequences of variant {variant.index} do not hold its alleles")
    wide = max(n_ref, n_alt)
    first = ref.start
    behind = first + at + n_ref  # the coordinate of the first base behind the variant
    coordinates = Coordinates(Locus(ref.chrom, first, first + length), True, behind, wide - n_ref)
    marked = (first + at, first + at + wide)
    ref_places = _places(first, length, at + n_ref, wide - n_ref)
    alt_places = _places(first + at - begins, length, begins + n_alt, wide - n_alt)
    rows = tuple(
        Row(
            f"{kind} allele {_short(letters)}",
            places,
            allele.sequence,
            allele.contributions,
            allele.hypothetical,
            allele.standard_error,
            marked,
        )
        for kind, letters, places, allele in (
            ("reference", variant.ref, ref_places, ref),
            ("alternative", variant.alt, alt_places, alt),
        )
    )
    return Alleles(variant, (rows[0], rows[1]), coordinates)


def _holds(allele: _Allele, place: int, letters: str) -> bool:
    return place >= 0 and allele.letters(place, place + len(letters)) == letters.upper()


def _places(first: int, length: int, gap_at: int, gap: int) -> npt.NDArray[np.int64]:
    """Return the places of bases with a gap before base `gap_at`."""
    bases = np.arange(length)
    return first + bases + gap * (bases >= gap_at)


def _short(letters: str) -> str:
    return (
        letters if len(letters) <= _LONGEST_ALLELE else f"{letters[:_LONGEST_ALLELE]}... ({len(letters)} bp)"
    )
