"""Letters with given heights, drawn as one collection of outlines for each base.

logomaker draws one patch for each letter, which takes ten to a hundred times as long (docs/plot.md).
"""

from collections.abc import Mapping
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, PolyCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from deeplift_cli.figures.colours import BASES

_WIDTH = 0.94  # of a position; the rest is the space between letters


@cache
def outline(base: str) -> Path:
    """Return the outline of a base's letter, stretched to the unit square."""
    # The font comes with matplotlib, so that a picture is the same on every machine.
    text = TextPath((0, 0), base, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = text.get_extents()
    return Path((np.asarray(text.vertices) - box.min) / box.size, text.codes)


def draw_letters(
    axes: Axes, heights: npt.NDArray[Any], places: npt.NDArray[Any], colours: Mapping[str, str]
) -> list[Collection]:
    """Draw a letter for each height that is not 0; negative heights hang upside down below the axis.

    Parameters
    ----------
    axes : matplotlib Axes
    heights : ndarray, [4, L]
        Heights of A, C, G and T. Letters of one sign at one position are stacked, the smallest next to the
        axis.
    places : ndarray, [L]
        The left edge of each position, which is 1 wide.
    colours : mapping of str to str

    Returns
    -------
    list of matplotlib Collection
        One for each base, in the order ACGT. An empty collection stands for a base without letters.
    """
    bottoms = _bottoms(heights)
    drawn: list[Collection] = []
    for channel, base in enumerate(BASES):
        (where,) = np.nonzero(heights[channel])
        letter = outline(base)
        shape = np.asarray(letter.vertices)
        vertices = np.empty((len(where), *shape.shape))
        vertices[..., 0] = shape[:, 0] * _WIDTH + places[where, None] + (1 - _WIDTH) / 2
        vertices[..., 1] = shape[:, 1] * heights[channel, where, None] + bottoms[channel, where, None]
        paths = list(map(Path, vertices, repeat(letter.codes)))
        # Snapping would round the edges of a T to pixels, but not those of a C.
        letters = PathCollection(paths, facecolors=colours[base], linewidths=0, snap=False)
        axes.add_collection(letters, autolim=False)
        drawn.append(letters)
    return drawn


def draw_bars(
    axes: Axes, heights: npt.NDArray[Any], places: npt.NDArray[Any], colours: Mapping[str, str]
) -> list[Collection]:
    """Draw bars in the colours of the bases where letters would be too narrow, as `draw_letters` does."""
    bottoms = _bottoms(heights)
    drawn: list[Collection] = []
    for channel, base in enumerate(BASES):
        (where,) = np.nonzero(heights[channel])
        left, low = places[where], bottoms[channel, where]
        high = low + heights[channel, where]
        corners = np.array([[left, low], [left, high], [left + 1, high], [left + 1, low]])
        # A line as thin as this closes the seams that antialiasing leaves between neighbours.
        bars = PolyCollection(
            list(corners.transpose(2, 0, 1)), facecolors=colours[base], edgecolors="face", linewidths=0.2
        )
        axes.add_collection(bars, autolim=False)
        drawn.append(bars)
    return drawn


def _bottoms(heights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return where each letter begins: the sum of the smaller heights of its sign at its position."""
    order = np.argsort(np.abs(heights), axis=0, kind="stable")
    ordered = np.take_along_axis(heights, order, axis=0)
    above, below = (np.cumsum(part, axis=0) for part in (ordered.clip(min=0), ordered.clip(max=0)))
    begins = np.where(ordered > 0, above, below) - ordered
    bottoms: npt.NDArray[Any] = np.empty_like(begins)
    np.put_along_axis(bottoms, order, begins, axis=0)
    return bottoms
