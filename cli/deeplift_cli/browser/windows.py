"""Scored windows: the regions that the page lists, and the parts of the genome whose letters it needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.bed import read_bed
from deeplift_cli.sequences.names import ChromosomeNames

_FLANK = 1000  # bases on both sides of a window whose letters are shown, too
_SHOWN = 300  # bases of the first view; letters of a wider view are too narrow to be read


@dataclass(frozen=True, slots=True)
class Window:
    """One window, 0-based and half-open, on its chromosome."""

    chrom: str
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a chromosome, 0-based and half-open."""

    chrom: str
    start: int
    end: int


def windows_file(bigwigs: Iterable[Path]) -> Path:
    """Return the file with the scored windows that `deeplift score` wrote beside one of the bigWigs.

    Raises
    ------
    UserError
        If no bigWig has such a file beside it.
    """
    tried = [path.with_suffix(".bed") for path in bigwigs]
    for path in tried:
        if path.is_file():
            return path
    raise UserError(f"there is no {tried[0]} with the scored windows; give their BED file by --regions")


def read_windows(path: Path, genome: Path, sizes: Mapping[str, int]) -> tuple[list[Window], int]:
    """Read the windows of a BED file that lie on the genome; parts beyond the ends of chromosomes are cut.

    Parameters
    ----------
    path : Path
        BED3 to narrowPeak.
    genome : Path
        The genome's file, for messages.
    sizes : mapping of str to int
        Length of each chromosome of the genome in bp.

    Returns
    -------
    windows : list of Window
        The windows in the file's order.
    n_skipped : int
        The number of lines that have no place on the genome, or a name that no file can hold.

    Raises
    ------
    UserError
        If the file does not parse, or no window is on the genome.
    """
    windows, skipped, first_unknown = list[Window](), 0, None
    for line in read_bed(path):
        size = sizes.get(line.chrom)
        if size is None and first_unknown is None:
            first_unknown = line.chrom
        start, end = max(line.start, 0), min(line.end, size or 0)
        if line.fault is not None or start >= end:
            skipped += 1
        else:
            windows.append(Window(line.chrom, start, end, line.name))
    if windows:
        return windows, skipped
    reason = "all lie beyond the ends of the chromosomes"
    if first_unknown is not None:
        reason = ChromosomeNames(sizes).compare(first_unknown, "the regions have", "the genome has")
    raise UserError(f"regions file {path} has no region on genome {genome}: {reason}")


def stretches(windows: Iterable[Window], sizes: Mapping[str, int]) -> list[Stretch]:
    """Return the windows with 1,000 bp on both sides, joined where they touch, in the genome's order."""
    by_chrom: dict[str, list[Window]] = {name: [] for name in sizes}
    for window in windows:
        by_chrom[window.chrom].append(window)
    found = list[Stretch]()
    for chrom, here in by_chrom.items():
        for window in sorted(here, key=lambda window: window.start):
            start, end = max(window.start - _FLANK, 0), min(window.end + _FLANK, sizes[chrom])
            if found and found[-1].chrom == chrom and start <= found[-1].end:
                found[-1] = Stretch(chrom, found[-1].start, max(end, found[-1].end))
            else:
                found.append(Stretch(chrom, start, end))
    return found


def first_view(window: Window) -> Stretch:
    """Return the middle of a window, narrow enough for letters that can be read."""
    if window.end - window.start <= _SHOWN:
        return Stretch(window.chrom, window.start, window.end)
    start = (window.start + window.end - _SHOWN) // 2
    return Stretch(window.chrom, start, start + _SHOWN)
