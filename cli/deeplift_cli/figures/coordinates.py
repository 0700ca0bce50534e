"""The x axis of a picture: coordinates of the genome, or positions in a record."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deeplift_cli.figures.colours import INK
from deeplift_cli.options.rows import Locus
from deeplift_cli.sequences.names import printed

_TICKS = 8


def coordinate_text(coordinate: float) -> str:
    """Return a coordinate with separators of thousands."""
    return f"{coordinate:,.0f}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Coordinates:
    """The x axis. The base at coordinate p is drawn from p to p + 1.

    Where an allele has bases that the other allele lacks, the axis has a gap of `gap` columns before the
    coordinate `gap_at`, so that bases behind the variant stay above each other.

    Attributes
    ----------
    shown : Locus
        The stretch that is drawn.
    is_genomic : bool
        True if `shown` is on a chromosome; false if positions count from the start of a record.
    gap_at : int
    gap : int
    """

    shown: Locus
    is_genomic: bool
    gap_at: int = 0
    gap: int = 0

    def x(self, coordinate: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the place of coordinates on the axis."""
        at = np.asarray(coordinate)
        return at + self.gap * (at >= self.gap_at) if self.gap else at

    @property
    def limits(self) -> tuple[int, int]:
        """The ends of the axis."""
        return int(self.x(self.shown.start)), int(self.x(self.shown.end - 1)) + 1

    @property
    def width(self) -> int:
        """The number of positions on the axis."""
        first, last = self.limits
        return last - first

    @property
    def label(self) -> str:
        """The label of the axis."""
        where = printed(self.shown.chrom)
        where = where if len(where) <= 60 else where[:60] + "..."
        return f"{where} (bp, counted from 0)" if self.is_genomic else f"position in {where} (bp, from 0)"

    def put_on(self, axes: Axes, *, with_text: bool) -> None:
        """Give the axes these limits and ticks; only the lowest axes of a page have text.

        Parameters
        ----------
        axes : matplotlib Axes
        with_text : bool
        """
        axes.set_xlim(*self.limits)
        if not with_text:
            axes.xaxis.set_visible(False)
            return
        # Ticks are chosen among coordinates, and not among places, which a gap moves.
        shown = self.shown
        found = MaxNLocator(_TICKS, integer=True, steps=[1, 2, 5, 10]).tick_values(shown.start, shown.end)
        ticks = [tick for tick in np.asarray(found) if shown.start <= tick <= shown.end]
        axes.set_xticks(self.x(ticks), [coordinate_text(tick) for tick in ticks])
        axes.set_xlabel(self.label, color=INK, parse_math=False)
