"""The scored windows as narrowPeak with 10 columns, in the order of the score file's rows."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.sequences.records import Region


class NarrowPeakFile:
    """Writes one line per scored window; a context manager.

    The summit is the middle, length // 2, so that tools which centre on the summit and tools which centre on
    the midpoint cut the same window. Column 7 (signalValue) is the explained output. The score is 0, and the
    P and Q values are -1, which means in narrowPeak that there is no value.

    Parameters
    ----------
    path : Path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="\n")

    def append(self, regions: Iterable[Region], outputs: Iterable[float]) -> None:
        """Write windows, each with its explained output."""
        self._file.writelines(narrowpeak_line(*both) for both in zip(regions, outputs, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def narrowpeak_line(region: Region, output: float) -> str:
    """Return the line of a window, with its line end."""
    start, end = region.start, region.end
    chrom, name = one_column(region.chrom), one_column(region.name)
    ending = f"{region.strand}\t{output:.6g}\t-1\t-1\t{(end - start) // 2}"
    return f"{chrom}\t{start}\t{end}\t{name}\t0\t{ending}\n"


def one_column(text: str) -> str:
    """Return a text that fits one column: tabs and line ends become spaces, an empty text becomes a dot."""
    return " ".join(text.split("\t")).replace("\n", " ").replace("\r", " ") or "."
