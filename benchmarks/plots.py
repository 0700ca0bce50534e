"""Time logos of `deeplift plot` beside logomaker's, alternating in one run.

    python benchmarks/plots.py [--lengths 200,2000] [--rounds 5]

Each round draws the same random contributions with each contender, on a page of 14 by 3 inches, up to the
bytes of a PNG at 150 dots an inch. Drawing uses one thread, whose processor time is measured. Modules are
imported and files are read before the clock starts. The median of the rounds is shown, and logomaker only
where it is installed, with its default letters. `page` is the whole page of the command, with a heat map, a
band of standard errors and 20 motif hits; `bars` is what the command draws in a PNG where letters would be
narrow.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deeplift_cli.figures import draw_logo
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.logo import letter_heights, limits
from deeplift_cli.figures.page import draw_page, page_style
from deeplift_cli.figures.rows import Row
from deeplift_cli.figures.tracks.heat_map import HeatMap
from deeplift_cli.figures.tracks.intervals import Interval, Intervals
from deeplift_cli.figures.tracks.scores import Scores
from deeplift_cli.options.rows import Locus

Contender = Callable[[Any, Any], Figure]


def logo(values: Any, one_hot: Any, *, bars: bool = False) -> Figure:
    """Draw one logo on axes, as a program would."""
    figure = Figure(figsize=(14, 3), dpi=150)
    draw_logo(figure.add_subplot(), values, one_hot, bars=bars)
    return figure


def page(values: Any, one_hot: Any) -> Figure:
    """Draw a page as the command does, with a track of each kind that score files alone fill."""
    length = values.shape[1]
    observed = (values * one_hot).sum(axis=0)
    row = Row("", np.arange(length), one_hot, observed, values, np.abs(observed) / 5)
    hits = tuple(Interval(at, at + 8, "motif", "+") for at in range(0, length - 8, max(10, length // 20)))
    ends = limits(letter_heights(observed * 1.2, one_hot))
    with page_style():
        return draw_page(
            [
                Intervals("hits.bed", hits, {}),
                Scores(row, "standard", with_error=True, y_limits=ends, letters=True),
                HeatMap(row, float(np.abs(values).max())),
            ],
            Coordinates(Locus("chr1", 0, length), True),
            "a region",
            f"chr1:0-{length}",
        )


def logomaker_logo(values: Any, one_hot: Any) -> Figure:
    """Draw the same logo with logomaker."""
    import logomaker
    import pandas

    figure = Figure(figsize=(14, 3), dpi=150)
    table = pandas.DataFrame((values * one_hot).T, columns=list("ACGT"))
    logomaker.Logo(table, ax=figure.add_subplot())
    return figure


def seconds(draw: Contender, values: Any, one_hot: Any) -> float:
    """Return the processor time from arrays to the bytes of a PNG; drawing takes one thread."""
    begun = time.process_time()
    figure = draw(values, one_hot)
    FigureCanvasAgg(figure).print_png(io.BytesIO())
    return time.process_time() - begun


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lengths", default="200,2000", help="lengths in bp  [default: 200,2000]")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    contenders: dict[str, Contender] = {
        "letters": logo,
        "bars": lambda values, one_hot: logo(values, one_hot, bars=True),
        "page": page,
    }
    try:
        import logomaker  # noqa: F401
    except ImportError:
        print("logomaker is not installed: pip install logomaker")
    else:
        contenders["logomaker"] = logomaker_logo
    print("     bp", *(f"{name:>10}" for name in contenders))
    for length in map(int, options.lengths.split(",")):
        rng = np.random.default_rng(0)
        values = rng.laplace(size=(4, length)) ** 3
        one_hot = np.eye(4, dtype=np.int8)[rng.integers(0, 4, length)].T
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds + 1):
            for name, draw in contenders.items():
                taken[name].append(seconds(draw, values, one_hot))
        # The first round fills caches of fonts.
        print(f"{length:>7}", *(f"{statistics.median(times[1:]):>10.3f}" for times in taken.values()))


if __name__ == "__main__":
    main()
