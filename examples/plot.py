"""Draw one scored sequence as a logo: each base a letter as high as its contribution, planted motifs as bars.

    python examples/plot.py scores.h5 --name seq001_both --planted examples/planted_motifs.bed --out logo.png

Negative contributions hang upside down below the axis. PNG, SVG or PDF, by the ending of --out. Needs
matplotlib.
"""

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from numpy.typing import NDArray
from scored import InputError, Planted, Scores, read_planted, read_scores

COLOURS = {"A": "#109648", "C": "#255c99", "G": "#f7a81b", "T": "#d62839"}
ENDINGS = (".png", ".svg", ".pdf")
BAR_COLOURS = ("#8a8a8a", "#3f3f3f", "#b9a37e", "#7e93b9")


def letter_outlines() -> dict[str, Outline]:
    """Return the outline of each base's letter, stretched to the unit square."""
    font = FontProperties(family="DejaVu Sans", weight="bold")
    outlines = {}
    for letter in COLOURS:
        outline = TextPath((0, 0), letter, size=1, prop=font)
        box = outline.get_extents()
        outlines[letter] = Outline((np.asarray(outline.vertices) - box.min) / box.size, outline.codes)
    return outlines


def draw_letters(axes: Axes, one_hot: NDArray[np.int8], heights: NDArray[np.float64]) -> None:
    """Draw a sequence with letters as high as given, one collection of outlines per base.

    Parameters
    ----------
    axes : matplotlib Axes
        Position i is drawn from i to i + 1.
    one_hot : array [4, L]
        Channels A, C, G, T; a position with no base stays empty.
    heights : array [L]
        Below 0: upside down, below the axis.
    """
    for channel, (letter, outline) in enumerate(letter_outlines().items()):
        places = np.flatnonzero((one_hot[channel] > 0) & (heights != 0))
        paths = [
            Outline(np.asarray(outline.vertices) * (0.95, heights[place]) + (place + 0.025, 0), outline.codes)
            for place in places
        ]
        axes.add_collection(PathCollection(paths, facecolors=COLOURS[letter], linewidths=0), autolim=False)
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max()))
    margin = 0.05 * ((high - low) or 1.0)
    axes.set_xlim(0, len(heights))
    axes.set_ylim(low - margin, high + margin)


def draw_bars(axes: Axes, motifs: list[Planted]) -> None:
    """Mark each motif by a bar with its name, and an arrow head for its strand, above the letters."""
    low, high = axes.get_ylim()
    height = 0.05 * (high - low)
    base = high + 0.3 * height
    colours = dict(zip(sorted({motif.motif for motif in motifs}), BAR_COLOURS * len(motifs), strict=False))
    for motif in motifs:
        colour = colours[motif.motif]
        axes.add_patch(Rectangle((motif.start, base), motif.end - motif.start, height, color=colour, lw=0))
        label = {"+": f"{motif.motif} ▸", "-": f"◂ {motif.motif}"}.get(motif.strand, motif.motif)
        middle = (motif.start + motif.end) / 2
        axes.text(middle, base + 1.5 * height, label, ha="center", va="bottom", fontsize=8, color=colour)
    axes.set_ylim(low, high + 5 * height)


def draw_sequence(scores: Scores, row: int, motifs: list[Planted]) -> Figure:
    """Return the figure of one row of the scores."""
    figure = Figure(figsize=(14, 2.8), layout="constrained")
    axes = figure.add_subplot()
    draw_letters(axes, scores.one_hot[row], scores.contributions[row])
    if motifs:
        draw_bars(axes, motifs)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_title(scores.names[row], loc="left", fontsize=10)
    axes.set_xlabel("position (bp, counted from 0)")
    axes.set_ylabel("contribution")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of its ending, the same bytes each time.

    Raises
    ------
    InputError
        The ending is unknown or the folder does not exist.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"cannot draw {path}: its name must end in {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise InputError(f"no such folder: {path.parent}")
    # No date and no random names inside: the same scores give the same file.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    with mpl.rc_context({"svg.hashsalt": "deeplift"}):
        figure.savefig(path, dpi=150, metadata=metadata)


def main() -> None:
    """Draw the sequence named on the command line."""
    parser = argparse.ArgumentParser(description="Draw one scored sequence as a logo of contributions.")
    parser.add_argument("scores", type=Path, help="scores.h5, as written by `deeplift score`")
    parser.add_argument("--name", help="which sequence (default: the first)")
    parser.add_argument("--planted", type=Path, help="BED file of motifs to mark")
    parser.add_argument("--out", type=Path, required=True, help="picture to write: .png, .svg or .pdf")
    options = parser.parse_args()
    try:
        scores = read_scores(options.scores)
        row = find_row(scores, options.name)
        planted = read_planted(options.planted) if options.planted else {}
        save(draw_sequence(scores, row, scores.planted_in(row, planted)), options.out)
    except InputError as error:
        sys.exit(f"plot.py: {error}")


def find_row(scores: Scores, name: str | None) -> int:
    """Return the row of the sequence with that name, the first without one.

    Raises
    ------
    InputError
        There is no such sequence.
    """
    if not scores.names:
        raise InputError("the file of scores holds no sequences")
    if name is None:
        return 0
    if name not in scores.names:
        some = ", ".join(scores.names[:3])
        raise InputError(f"no sequence is named {name!r}; the file holds {len(scores.names)}: {some}, ...")
    return scores.names.index(name)


if __name__ == "__main__":
    main()
