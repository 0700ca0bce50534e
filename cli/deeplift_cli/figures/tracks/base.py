"""What every row of a picture has."""

from dataclasses import dataclass
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deeplift_cli.figures.coordinates import Coordinates

_SMALL = 1e-3  # smaller values are written with a power of ten


@dataclass(frozen=True)
class Sheet:
    """The page on which tracks are drawn.

    Attributes
    ----------
    coordinates : Coordinates
    inches : float
        The width of the axes.
    """

    coordinates: Coordinates
    inches: float

    def inches_of(self, bases: float) -> float:
        """Return the width of a number of bases."""
        return bases * self.inches / self.coordinates.width

    def bases_of(self, inches: float) -> float:
        """Return the number of bases that have a width."""
        return inches * self.coordinates.width / self.inches


def short_number(value: float) -> str:
    """Return a tick's value in few letters, since a page has little room for ticks: 0.05, 2e−4, 0, 12,000."""
    text = f"{value:,.10g}" if value == 0 or abs(value) >= _SMALL else f"{value:.10g}"
    if 0 < abs(value) < _SMALL:
        digits, _, power = f"{value:.1e}".partition("e")
        text = f"{digits.removesuffix('.0')}e{int(power)}"
    return text.replace("-", "\N{MINUS SIGN}")


def put_y_ticks(axis: Axis, most: int, **how: Any) -> None:
    """Give a y axis at most this many intervals between ticks, with short texts.

    Parameters
    ----------
    axis : matplotlib Axis
    most : int
    **how
        Arguments of `MaxNLocator`.
    """
    axis.set_major_locator(MaxNLocator(most, **{"steps": [1, 2, 5, 10]} | how))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


class Track(Protocol):
    """One row of a picture."""

    @property
    def label(self) -> str:
        """The text above the row; "" for none."""
        ...

    def height(self, sheet: Sheet) -> float:
        """Return the height in inches, without the label."""
        ...

    def draw(self, axes: Axes, sheet: Sheet) -> None:
        """Draw the content; the page sets the x axis and the label."""
        ...
