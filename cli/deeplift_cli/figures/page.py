"""A figure of tracks above each other, over one x axis."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from matplotlib import style
from matplotlib.figure import Figure

from deeplift_cli.figures.colours import FAINT, INK
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.tracks.base import Sheet, Track

# All lengths are in inches.
_BASE = 0.066  # the width of a base, as far as the page allows
_NARROWEST, _WIDEST = 6.5, 13.2  # the width of the axes
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.8, 0.65, 0.42, 0.55
_BETWEEN = 0.12
_LABEL = 0.2  # the height of a track's label
_TITLE = 0.26  # the baseline of the title, from the top
# The widths of letters of the title, of the place at the title's right, and of a label; each is the average
# or somewhat more.
_OF_TITLE, _OF_PLACE, _OF_LABEL = 0.108, 0.075, 0.072
_STYLE = {
    "figure.dpi": 150,
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    # Fonts are in the file: the viewer's own fonts would have other widths.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "deeplift",
}


def draw_page(tracks: Sequence[Track], coordinates: Coordinates, title: str = "", place: str = "") -> Figure:
    """Return a figure of tracks, from top to bottom.

    The figure is 8 to 15 inches wide, by the number of bases, and as high as its tracks.

    Parameters
    ----------
    tracks : sequence of Track
    coordinates : Coordinates
        The x axis of all tracks.
    title : str
    place : str
        A text at the right of the title.
    """
    inches = min(_WIDEST, max(_NARROWEST, _BASE * coordinates.width))
    sheet = Sheet(coordinates, inches)
    heights = [track.height(sheet) for track in tracks]
    above = [_LABEL if track.label else 0.0 for track in tracks]
    width = _LEFT + inches + _RIGHT
    height = _TOP + sum(heights) + sum(above) + _BETWEEN * (len(tracks) - 1) + _BOTTOM
    # The places of the axes are computed here, since matplotlib's own layouts measure all texts twice.
    figure = Figure(figsize=(width, height), facecolor="white")
    y = height - _TOP
    for number, (track, tall, label) in enumerate(zip(tracks, heights, above, strict=True)):
        y -= label + tall
        axes = figure.add_axes((_LEFT / width, y / height, inches / width, tall / height))
        track.draw(axes, sheet)
        coordinates.put_on(axes, with_text=number == len(tracks) - 1)
        if label:
            text = _cut(track.label, inches / _OF_LABEL)
            axes.set_title(text, loc="left", fontsize=8.5, color=FAINT, pad=3, parse_math=False)
        y -= _BETWEEN
    baseline = 1 - _TITLE / height
    title = _cut(title, (inches - _OF_PLACE * len(place)) / _OF_TITLE)
    figure.text(_LEFT / width, baseline, title, fontsize=11, weight="bold", parse_math=False)
    figure.text(1 - _RIGHT / width, baseline, place, fontsize=9, color=FAINT, ha="right", parse_math=False)
    return figure


def _cut(text: str, letters: float) -> str:
    return text if len(text) <= letters else text[: max(1, int(letters) - 3)] + "..."


@contextmanager
def page_style() -> Iterator[None]:
    """Draw and save with settings that the user's own configuration of matplotlib does not change."""
    with style.context(["default", _STYLE]):
        yield
