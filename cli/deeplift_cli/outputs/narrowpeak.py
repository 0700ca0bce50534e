"""The scored windows as narrowPeak with 10 columns, in the order of the score file's rows."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.outputs.chrom_sizes import clipped
from deeplift_cli.sequences.records import Region


class NarrowPeakFile:
    """A context manager that writes one line for each scored window.

    The summit is the middle of the scored window, start + length // 2, so that tools which centre on the
    summit and tools which centre on the midpoint cut the same window. A window that passes an end of its
    chromosome is written without the part beyond the end, so that only tools of the first kind cut the same
    window. Column 7 (signalValue) is the explained output; score is 0 and the P and Q values are -1,
    narrowPeak's way to say that there is none.

    Parameters
    ----------
    path : Path
        The file to write.
    chrom_sizes : mapping of str to int
        Lengths of chromosomes in bp, where they are known.
    """

    def __init__(self, path: Path, chrom_sizes: Mapping[str, int]) -> None:
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._chrom_sizes = chrom_sizes

    def append(self, regions: Iterable[Region], outputs: Iterable[float]) -> None:
        """Write windows, each with its explained output."""
        self._file.writelines(
            narrowpeak_line(region, output, self._chrom_sizes.get(region.chrom))
            for region, output in zip(regions, outputs, strict=True)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def narrowpeak_line(region: Region, output: float, chrom_size: int | None) -> str:
    """Return the line of a window, with its line end."""
    start, end = clipped(region, chrom_size)
    summit = (region.start + region.end) // 2 - start
    chrom, name = one_column(region.chrom), one_column(region.name)
    ending = f"{region.strand}\t{output:.6g}\t-1\t-1\t{summit}"
    return f"{chrom}\t{start}\t{end}\t{name}\t0\t{ending}\n"


def one_column(text: str) -> str:
    """Return a text that fits one column: tabs and line ends become spaces, an empty text becomes a dot."""
    return " ".join(text.split("\t")).replace("\n", " ").replace("\r", " ") or "."
