"""Per-base contributions as bigWig."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.along_genome import Pieces, pieces
from deeplift_cli.outputs.bigwig_order import move_chromosomes_forward
from deeplift_cli.outputs.overlaps import OPTION
from deeplift_cli.outputs.registry import Export, OutputFormat
from deeplift_cli.process.signals import Stopped


def write(export: Export) -> None:
    """Write one value per base.

    Positions with N inside a window have the value 0; positions outside all windows have no value. All
    windows and values are checked before the file is begun.

    Raises
    ------
    UserError
        As `along_genome.pieces`, or if the disc is full.
    """
    assert export.chrom_sizes is not None
    with pieces(export) as found:
        _write(export.temporary, dict(sorted(export.chrom_sizes.items())), _Bases(found), export.path)


class _Bases:
    """Iterates over (chromosome, start, end, value), base by base, and keeps the first exception.

    pybigtools swallows exceptions of the iterator.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self.error: BaseException | None = None
        self.complete = False
        self.n_bases = 0

    def __iter__(self) -> Iterator[tuple[str, int, int, float]]:
        try:
            for chrom, start, values in self._pieces:
                end = start + len(values)
                starts, ends = range(start, end), range(start + 1, end + 1)
                yield from zip(repeat(chrom), starts, ends, values.tolist(), strict=False)
                self.n_bases += len(values)
            self.complete = True
        except (Exception, KeyboardInterrupt, Stopped) as error:
            self.error = error
            raise


def _write(temporary: Path, chrom_sizes: Mapping[str, int], bases: _Bases, path: Path) -> None:
    """Write the bigWig, and check that it holds all bases.

    pybigtools 0.3.0 accepts only names that end in .bw. pybigtools reports a failure by a line on stderr, by
    a panic (a BaseException) if the disc is full, or not at all.
    """
    import pybigtools

    try:
        pybigtools.open(str(temporary), "w").write(chrom_sizes, iter(bases))
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
    if bases.error is not None:
        raise bases.error
    if bases.complete and _bases_covered(temporary) == bases.n_bases:
        move_chromosomes_forward(temporary)
    if not bases.complete or _bases_covered(temporary) != bases.n_bases:
        raise UserError(f"bigWig {path} could not be written whole; is the disc full?")


def _bases_covered(path: Path) -> int | None:
    import pybigtools

    try:
        with pybigtools.open(str(path)) as file:
            return int(file.info()["summary"]["basesCovered"])
    except pybigtools.BBIReadError:
        return None


FORMAT = OutputFormat(
    "bigwig",
    "bigWig of the observed bases' contributions.",
    ".bw",
    write,
    (OPTION,),
    lengths="needed",
)
