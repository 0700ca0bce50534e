"""Small charts as SVG: histograms and lines along the window.

Colours come from the page's style sheet, so that charts follow its light and dark mode.
"""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

_NARROW, _WIDE, _HEIGHT = 380, 520, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 40
_BINS = 40
_MOST_POINTS = 500  # of a line; more positions are averaged
_TICKS = 5


def histogram(values: Values, label: str) -> str:
    """Draw a histogram of the finite values.

    Parameters
    ----------
    values : ndarray, [N]
    label : str
        The name of the x axis.

    Returns
    -------
    str
        An SVG element; a sentence if there are no values.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "<p>There are no values to show.</p>"
    low, high = float(finite.min()), float(finite.max())
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size:  # less than float64 can divide into bins
        margin = max(0.5, 1e-3 * size)
        low, high = low - margin, high + margin
    counts, edges = np.histogram(finite, _BINS, (low, high))
    frame = _Frame(_NARROW, (low, high), (0.0, float(counts.max())))
    bars = "".join(
        f"M{frame.x(left)} {frame.y(0)}V{frame.y(count)}H{frame.x(right)}V{frame.y(0)}Z"
        for count, left, right in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
        if count
    )
    median = float(np.median(finite))
    told = f"{label}: median {shown(median)}, from {shown(finite.min())} to {shown(finite.max())}"
    return _svg(frame, f'<path class="bar" d="{bars}"/>', label, "sequences", told)


def lines(series: Mapping[str, Values], start: float, label: str, told: str) -> str:
    """Draw values of each position of the window as lines.

    Parameters
    ----------
    series : mapping of str to ndarray, [L]
        The values; each key is the CSS class of the line.
    start : float
        The coordinate of the first position.
    label : str
        The name of the y axis.
    told : str
        What the chart shows, for readers who do not see it.
    """
    length = len(next(iter(series.values())))
    step = -(-length // _MOST_POINTS)
    edges = np.arange(0, length, step)
    widths = np.minimum(edges + step, length) - edges
    means = {name: np.add.reduceat(values, edges) / widths for name, values in series.items()}
    middles = start + edges + (widths - 1) / 2
    low = min(0.0, *(float(values.min()) for values in means.values()))
    high = max(0.0, *(float(values.max()) for values in means.values()))
    frame = _Frame(_WIDE, (start, start + max(1, length - 1)), (low, high if high > low else low + 1))
    drawn = f'<path class="zero" d="M{frame.x(start)} {frame.y(0)}H{frame.width - _RIGHT}"/>'
    for name, values in means.items():
        points = "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in zip(middles, values, strict=True))
        drawn += f'<path class="line {name}" d="M{points}"/>'
    where = "position from the middle of the window (bp)"
    return _svg(frame, drawn, where + (f", means of {step:,} bp" if step > 1 else ""), label, told)


def shown(value: float) -> str:
    """Return a number with three significant digits."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


class _Frame:
    """The axes of a chart: from values to places."""

    def __init__(self, width: int, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.width, self.across, self.up = width, across, up

    def x(self, value: float) -> str:
        left, right = self.across
        share = (value - left) / (right - left)
        return f"{_LEFT + share * (self.width - _LEFT - _RIGHT):.1f}"

    def y(self, value: float) -> str:
        low, high = self.up
        share = (value - low) / (high - low)
        return f"{_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM):.1f}"


def _svg(frame: _Frame, drawn: str, x_label: str, y_label: str, told: str) -> str:
    base = _HEIGHT - _BOTTOM
    axes = f'<path class="axis" d="M{_LEFT} {_TOP}V{base}H{frame.width - _RIGHT}"/>'
    for value in _ticks(*frame.across):
        x = frame.x(value)
        axes += f'<path class="axis" d="M{x} {base}v4"/><text x="{x}" y="{base + 16}">{_tick(value)}</text>'
    for value in _ticks(*frame.up):
        y = frame.y(value)
        axes += f'<path class="axis" d="M{_LEFT} {y}h-4"/>'
        axes += f'<text class="end" x="{_LEFT - 7}" y="{y}" dy="0.32em">{_tick(value)}</text>'
    middle = (_TOP + base) / 2
    centre = (_LEFT + frame.width - _RIGHT) / 2
    axes += f'<text class="label" x="{centre}" y="{_HEIGHT - 6}">{html.escape(x_label)}</text>'
    axes += (
        f'<text class="label" transform="translate(11 {middle}) rotate(-90)">{html.escape(y_label)}</text>'
    )
    return (
        f'<svg viewBox="0 0 {frame.width} {_HEIGHT}" role="img" aria-label="{html.escape(told)}">'
        f"{drawn}{axes}</svg>"
    )


def _ticks(low: float, high: float) -> Sequence[float]:
    """Return round numbers between two ends."""
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _tick(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")
