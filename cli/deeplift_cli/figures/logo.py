"""Sequence logos of contributions on a matplotlib Axes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import Collection

from deeplift_cli.figures.colours import BASES, INK, base_colours
from deeplift_cli.figures.letters import draw_bars, draw_letters

_NARROW = 2.5  # pixels of a position, below which letters cannot be told apart
_MARGIN = 0.05  # of the range of heights, above and below


def draw_logo(
    axes: Axes,
    contributions: npt.ArrayLike,
    one_hot: npt.ArrayLike | str | None = None,
    *,
    start: int = 0,
    places: npt.ArrayLike | None = None,
    colours: str | Mapping[str, str] = "standard",
    bars: bool | None = None,
) -> list[Collection]:
    """Draw a sequence as letters that are as high as their contributions.

    Negative contributions hang upside down below the axis. The limits of the axes are set to the sequence and
    its contributions.

    Parameters
    ----------
    axes : matplotlib Axes
    contributions : array, [L] or [4, L]
        Contributions of the observed bases [L], which need `one_hot`; or values of A, C, G and T [4, L], such
        as a row of `projected_shap/seq`, or a motif: letters of one position are stacked.
    one_hot : array [4, L], or str of L letters, optional
        The sequence, in the order ACGT. Letters that are no base, and columns without any, stay empty. With
        contributions [4, L], only those of the observed bases are drawn.
    start : int
        The coordinate of the first base. The base at coordinate p is drawn from p to p + 1.
    places : array [L], optional
        The left edge of each base, instead of `start`, where bases do not follow each other without gaps.
    colours : str or mapping of str to str
        "standard", "colour-blind", or a colour for each of A, C, G and T.
    bars : bool, optional
        True to draw bars in the colours of the bases instead of letters. By default bars are drawn where a
        base is less than 2.5 pixels wide, at the resolution that the figure has.

    Returns
    -------
    list of matplotlib Collection
        One for each base, in the order ACGT.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, a contribution is not finite, or the colours are not known.
    """
    heights = letter_heights(contributions, one_hot)
    length = heights.shape[1]
    edges = np.arange(start, start + length) if places is None else np.asarray(places)
    if edges.shape != (length,):
        raise ValueError(f"places have the shape {edges.shape}, and not ({length},)")
    of_base = base_colours(colours)
    first, last = float(edges.min()), float(edges.max()) + 1
    axes.set_xlim(first, last)
    axes.set_ylim(*limits(heights))
    # The line lies below the letters, whose order is 1.
    axes.axhline(0, color=INK, linewidth=0.6, zorder=0.9)
    if bars is None:
        bars = axes.get_window_extent().width < _NARROW * (last - first)
    draw = draw_bars if bars else draw_letters
    return draw(axes, heights, edges, of_base)


def letter_heights(
    contributions: npt.ArrayLike, one_hot: npt.ArrayLike | str | None = None
) -> npt.NDArray[np.float64]:
    """Return the height of each base's letter at each position, [4, L].

    Parameters
    ----------
    contributions, one_hot
        The arrays as `draw_logo` takes them.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a contribution is not finite.
    """
    values = np.asarray(contributions, np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] == 0 or (values.ndim == 2 and len(values) != 4):
        raise ValueError(f"contributions have the shape {values.shape}, and not [L] or [4, L]")
    if not np.isfinite(values).all():
        raise ValueError("a contribution is NaN or infinite")
    if one_hot is None:
        if values.ndim == 1:
            raise ValueError("contributions [L] need the sequence: give one_hot")
        return values
    observed = _one_hot(one_hot) if isinstance(one_hot, str) else np.asarray(one_hot)
    if observed.shape != (4, values.shape[-1]):
        raise ValueError(f"one_hot has the shape {observed.shape}, and not (4, {values.shape[-1]})")
    return np.where(observed > 0, values, 0.0)


def limits(*heights: npt.NDArray[Any]) -> tuple[float, float]:
    """Return limits of the y axis that hold letters of these heights, each [4, L], with a margin."""
    low = min((float(each.clip(max=0).sum(axis=0).min()) for each in heights), default=0.0)
    high = max((float(each.clip(min=0).sum(axis=0).max()) for each in heights), default=0.0)
    if low == high:  # nothing is drawn
        return -1.0, 1.0
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _one_hot(letters: str) -> npt.NDArray[np.bool_]:
    return np.array([[letter == base for letter in letters.upper()] for base in BASES])
