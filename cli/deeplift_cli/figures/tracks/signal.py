"""Values along the x axis, such as coverage or a predicted profile, as areas or lines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from deeplift_cli.figures.colours import MOTIFS, SIGNAL
from deeplift_cli.figures.tracks.base import Sheet, put_y_ticks


@dataclass(frozen=True)
class Signal:
    """One or several rows of values over the same bins.

    Attributes
    ----------
    label : str
    edges : ndarray, [B + 1]
        The ends of the bins in coordinates.
    values : ndarray, [T, B]
        The values; NaN where there is none. One row is drawn as an area, several as lines.
    names : tuple of str, [T]
        Names of the rows, for the legend of several.
    """

    label: str
    edges: npt.NDArray[Any]
    values: npt.NDArray[Any]
    names: tuple[str, ...] = ()

    def height(self, sheet: Sheet) -> float:
        """Return the height in inches."""
        return 0.7

    def draw(self, axes: Axes, sheet: Sheet) -> None:
        """Draw the rows as steps."""
        left = sheet.coordinates.x(self.edges[:-1])
        right = sheet.coordinates.x(self.edges[1:] - 1) + 1
        places = np.column_stack([left, right]).ravel()
        first, last = sheet.coordinates.limits
        shown = self.values[:, (right > first) & (left < last)]
        several = len(self.values) > 1
        for number, row in enumerate(self.values):
            heights = row.repeat(2)
            if several:
                axes.plot(places, heights, color=MOTIFS[number % len(MOTIFS)], linewidth=0.9,
                          label=self.names[number])  # fmt: skip
            else:
                axes.fill_between(places, heights, color=SIGNAL, linewidth=0)
        low = min(0.0, float(np.nanmin(shown, initial=0.0)))
        high = max(0.0, float(np.nanmax(shown, initial=0.0)))
        axes.set_ylim(low, low + 1.05 * ((high - low) or 1.0))
        put_y_ticks(axes.yaxis, 2)
        axes.tick_params(axis="y", labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        if several:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(self.values), fontsize=7,
                        frameon=False, borderaxespad=0.1)  # fmt: skip
