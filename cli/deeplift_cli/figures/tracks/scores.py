"""Contributions as letters, with their standard error as a band."""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes

from deeplift_cli.figures.colours import BAND, MARK
from deeplift_cli.figures.logo import draw_logo
from deeplift_cli.figures.rows import Row
from deeplift_cli.figures.tracks.base import Sheet, put_y_ticks

_LABEL_AT = 0.52  # inches from the y axis to its label


@dataclass(frozen=True)
class Scores:
    """A logo.

    Attributes
    ----------
    row : Row
    colours : str
        The set of colours.
    with_error : bool
        True to draw the standard error of each contribution as a band around its letter's end.
    y_limits : tuple of float
        The ends of the y axis.
    shaded : tuple of (float, float, str)
        Stretches of the x axis that get a light background, and its colour.
    letters : bool
        True to draw letters however narrow they are, as in a picture that can be enlarged; otherwise there
        are bars where letters could not be told apart.
    """

    row: Row
    colours: str
    with_error: bool
    y_limits: tuple[float, float]
    shaded: tuple[tuple[float, float, str], ...] = field(default=())
    letters: bool = False

    @property
    def label(self) -> str:
        """The text above the row."""
        return self.row.label

    def height(self, sheet: Sheet) -> float:
        """Return the height in inches."""
        return 1.6

    def draw(self, axes: Axes, sheet: Sheet) -> None:
        """Draw letters, band and backgrounds."""
        for first, last, colour in self.shaded:
            axes.axvspan(first, last, color=colour, alpha=0.13, linewidth=0, zorder=0)
        if self.row.marked is not None:
            axes.axvspan(*self.row.marked, color=MARK, alpha=0.6, linewidth=0, zorder=0.1)
        row = self.row.within(*sheet.coordinates.limits)
        draw_logo(
            axes,
            row.contributions,
            row.sequence,
            places=row.places,
            colours=self.colours,
            bars=False if self.letters else None,
        )
        if self.with_error and row.standard_error is not None:
            _draw_band(axes, row)
        axes.set_ylim(*self.y_limits)
        axes.set_ylabel("contribution")
        axes.yaxis.set_label_coords(-_LABEL_AT / sheet.inches, 0.5)
        put_y_ticks(axes.yaxis, 4)
        axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_band(axes: Axes, row: Row) -> None:
    """Draw the standard error on both sides of each contribution, one step for each base."""
    assert row.standard_error is not None
    low, high = row.contributions - row.standard_error, row.contributions + row.standard_error
    empty = ~row.sequence.any(axis=0)
    edges = np.column_stack([row.places, row.places + 1]).ravel()
    axes.fill_between(
        edges,
        np.where(empty, np.nan, low).repeat(2),
        np.where(empty, np.nan, high).repeat(2),
        color=BAND,
        alpha=0.35,
        linewidth=0,
        zorder=2,
    )
