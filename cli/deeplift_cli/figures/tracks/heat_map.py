"""Hypothetical contributions of all four bases as a heat map."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from deeplift_cli.figures.colours import BASES, INK
from deeplift_cli.figures.rows import Row
from deeplift_cli.figures.tracks.base import Sheet, put_y_ticks

_SPACE, _BAR = 0.06, 0.07  # inches between the cells and the bar of colours, and of the bar
_WIDE_ENOUGH = 0.03  # inches of a position in which a dot can be seen


@dataclass(frozen=True)
class HeatMap:
    """A heat map, on whose cells of the observed bases there are dots.

    Attributes
    ----------
    row : Row
    largest : float
        The absolute value that has the strongest colour.
    """

    row: Row
    largest: float
    label: str = "hypothetical contributions"

    def height(self, sheet: Sheet) -> float:
        """Return the height in inches."""
        return 0.62

    def draw(self, axes: Axes, sheet: Sheet) -> None:
        """Draw cells, dots and the bar of colours."""
        first, last = sheet.coordinates.limits
        row = self.row.within(first, last)
        cells = np.full((4, last - first), np.nan)
        observed = row.sequence.any(axis=0)
        cells[:, row.places[observed] - first] = row.hypothetical[:, observed]
        image = axes.imshow(
            cells,
            cmap="RdBu_r",
            vmin=-self.largest,
            vmax=self.largest,
            extent=(first, last, 4, 0),
            aspect="auto",
            interpolation="nearest",
        )
        if sheet.inches_of(1) >= _WIDE_ENOUGH:
            base, place = np.nonzero(row.sequence)
            axes.plot(
                row.places[place] + 0.5,
                base + 0.5,
                "o",
                color=INK,
                markersize=2.2,
                markeredgecolor="white",
                markeredgewidth=0.35,
                linestyle="none",
            )
        axes.set_yticks(np.arange(4) + 0.5, list(BASES), fontsize=7)
        axes.tick_params(axis="y", length=0)
        axes.spines[:].set_visible(False)
        beside = axes.inset_axes((1 + _SPACE / sheet.inches, 0, _BAR / sheet.inches, 1))
        bar = axes.figure.colorbar(image, cax=beside)
        bar.outline.set_visible(False)
        put_y_ticks(bar.ax.yaxis, 2, symmetric=True)
        bar.ax.tick_params(labelsize=7, length=2)
