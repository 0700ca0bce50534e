"""Lines of BED files as boxes with names: motif hits, genes, peaks."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from deeplift_cli.errors import UserError
from deeplift_cli.figures.colours import ANNOTATION, FAINT
from deeplift_cli.figures.coordinates import Coordinates, coordinate_text
from deeplift_cli.figures.tracks.base import Sheet
from deeplift_cli.sequences.bed import read_bed
from deeplift_cli.sequences.names import ChromosomeNames, printed

_LANE = 0.19  # inches
_BOX = 0.72  # of a lane
_LETTER = 0.072  # inches of a letter of a name, on average
_SPACE = 0.06  # inches between a box and its name, and behind the name
_POINT = 0.07  # inches of the point that shows the strand
_MOST_LANES = 12
_LONGEST = 40  # letters of a name


@dataclass(frozen=True)
class Interval:
    """One box, in coordinates: 0-based and half-open."""

    start: int
    end: int
    name: str
    strand: str


@dataclass(frozen=True)
class _Box:
    """A box on the x axis, its lane, and where its name is: in its middle, or at the right or left of it."""

    interval: Interval
    left: float
    right: float
    text_at: float
    alignment: Literal["center", "left", "right"]
    lane: int = 0


@dataclass(frozen=True)
class Intervals:
    """Boxes in as many lanes as they need.

    Attributes
    ----------
    label : str
    intervals : tuple of Interval
        Boxes that overlap the stretch that is drawn.
    colours : mapping of str to str
        Colours by name; other names are grey.
    """

    label: str
    intervals: tuple[Interval, ...]
    colours: Mapping[str, str]

    def height(self, sheet: Sheet) -> float:
        """Return the height in inches."""
        return _LANE * _lanes(self._placed(sheet))

    def draw(self, axes: Axes, sheet: Sheet) -> None:
        """Draw boxes and names."""
        placed = self._placed(sheet)
        for box in placed:
            interval = box.interval
            colour = self.colours.get(interval.name, ANNOTATION)
            low = box.lane + (1 - _BOX) / 2
            corners = _outline(box.left, box.right, low, low + _BOX, interval.strand, sheet)
            axes.add_patch(Polygon(corners, color=colour, linewidth=0))
            axes.text(
                box.text_at,
                box.lane + 0.5,
                _short(interval.name),
                ha=box.alignment,
                va="center_baseline",
                fontsize=7.5,
                color="white" if box.alignment == "center" else colour,
                clip_on=True,
                parse_math=False,
            )
        if not placed:
            axes.text(0.5, 0.5, "none here", transform=axes.transAxes, ha="center", va="center", fontsize=8,
                      color=FAINT)  # fmt: skip
        axes.set_ylim(_lanes(placed), 0)
        axes.yaxis.set_visible(False)
        axes.spines[:].set_visible(False)

    def _placed(self, sheet: Sheet) -> list[_Box]:
        """Return each box with its lane, and the place of its name."""
        taken: list[float] = []  # where the last box of each lane ends, with its name
        placed = []
        for interval in sorted(self.intervals, key=lambda each: (each.start, -each.end)):
            box, begins, ends = _without_lane(interval, sheet)
            lane = next((lane for lane, end in enumerate(taken) if end <= begins), len(taken))
            if lane == _MOST_LANES:
                raise UserError(
                    f"more than {_MOST_LANES} boxes of {self.label} overlap at "
                    f"{coordinate_text(interval.start)}; draw a part with --zoom, or fewer boxes"
                )
            taken[lane : lane + 1] = [ends]
            placed.append(replace(box, lane=lane))
        return placed


def _lanes(placed: list[_Box]) -> int:
    return 1 + max((box.lane for box in placed), default=0)


def _without_lane(interval: Interval, sheet: Sheet) -> tuple[_Box, float, float]:
    """Return a box, with its name inside, or else on the right, or else on the left; and both ends of all."""
    first, last = sheet.coordinates.limits
    left, right = _ends(interval, sheet.coordinates)
    low, high = max(left, first), min(right, last)
    text, space = sheet.bases_of(_LETTER * len(_short(interval.name))), sheet.bases_of(_SPACE)
    if text <= high - low - 2 * space:
        return _Box(interval, left, right, (low + high) / 2, "center"), left, right
    if high + text + space <= last or low - text - space < first:
        return _Box(interval, left, right, high + space, "left"), left, high + text + 2 * space
    return _Box(interval, left, right, low - space, "right"), low - text - 2 * space, right


def read_intervals(
    path: Path, coordinates: Coordinates, chromosomes: Callable[[], Container[str]]
) -> tuple[Interval, ...]:
    """Return the lines of a BED file that overlap the stretch that is drawn, in the order of the file.

    Parameters
    ----------
    path : Path
    coordinates : Coordinates
    chromosomes : callable
        Returns the chromosomes of the scores. The function is called if the file has no line on the
        chromosome that is drawn: a line on another chromosome of the scores shows that the names agree.

    Raises
    ------
    UserError
        If the file cannot be read, or has other names for the chromosomes.
    """
    shown = coordinates.shown
    chroms: dict[str, None] = {}
    found = []
    for line in read_bed(path, may_be_empty=True):
        chroms[line.chrom] = None
        is_there = line.fault is None and line.chrom == shown.chrom
        if is_there and line.start < shown.end and line.end > shown.start:
            found.append(Interval(line.start, line.end, line.name, line.strand))
    if chroms and shown.chrom not in chroms and coordinates.is_genomic and not _any_in(chroms, chromosomes()):
        compared = ChromosomeNames(chroms).compare(shown.chrom, "the score file has", f"{path} has")
        raise UserError(
            f"chromosomes have other names: {compared}; write {path} with the names of the score file"
        )
    return tuple(found)


def _any_in(names: Iterable[str], known: Container[str]) -> bool:
    return any(name in known for name in names)


def _ends(interval: Interval, coordinates: Coordinates) -> tuple[float, float]:
    return float(coordinates.x(interval.start)), float(coordinates.x(interval.end - 1)) + 1


def _outline(
    left: float, right: float, low: float, high: float, strand: str, sheet: Sheet
) -> list[tuple[float, float]]:
    """Return the corners of a box, which has a point in the direction of its strand."""
    point = min(sheet.bases_of(_POINT), (right - left) / 2)
    middle = (low + high) / 2
    if strand == "+":
        return [(left, low), (right - point, low), (right, middle), (right - point, high), (left, high)]
    if strand == "-":
        return [(left + point, low), (right, low), (right, high), (left + point, high), (left, middle)]
    return [(left, low), (right, low), (right, high), (left, high)]


def names_of(intervals: Iterable[Interval]) -> set[str]:
    """Return the names of boxes."""
    return {interval.name for interval in intervals}


def _short(name: str) -> str:
    name = printed(name)
    return name if len(name) <= _LONGEST else name[:_LONGEST] + "..."
