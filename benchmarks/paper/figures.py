"""The figures, drawn as the paper draws them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from simulation import TASKS, one_hot
from train import labels

from deeplift_cli.figures import draw_logo
from paper import mnist
from paper.methods import (
    DEFAULT,
    GRADIENT,
    GUIDED_TIMES_INPUT,
    MUTAGENESIS,
    POSITIVE_FIRST,
    RESCALE,
    REVEAL_CANCEL,
    integrated,
)
from paper.regulatory import BOTH, FREQUENCY, Scored
from paper.toy import Curves

LINES = {
    "gradient": {"color": "#b0b0b0", "linestyle": ":"},
    "gradient x input": {"color": "#d62839", "linestyle": "-"},
    "Rescale": {"color": "#255c99", "linestyle": "-"},
    "RevealCancel": {"color": "#109648", "linestyle": "--"},
}
# Classes of sequences: colour and label, as in the paper's figure 5.
KINDS = {
    (True, True): ("#d62839", "TAL1 and GATA"),
    (False, True): ("#109648", "TAL1"),
    (True, False): ("#255c99", "GATA"),
    (False, False): ("#202020", "none"),
}
SHOWN = (
    GUIDED_TIMES_INPUT.name,
    GRADIENT.name,
    integrated(10).name,
    RESCALE.name,
    REVEAL_CANCEL.name,
    DEFAULT.name,
    MUTAGENESIS.name,
)
# Titles of narrow columns.
SHORT = {
    DEFAULT.name: "Rescale (conv.),\nRevealCancel (dense)",
    GUIDED_TIMES_INPUT.name: "guided backprop\nx input",
    POSITIVE_FIRST.name: "RevealCancel,\npositive first",
    "integrated gradients 5": "integrated\ngradients 5",
    "integrated gradients 10": "integrated\ngradients 10",
    GRADIENT.name: "gradient\nx input",
}


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG."""
    for ending in ("png", "svg"):
        figure.savefig(folder / f"{name}.{ending}", dpi=80)


def toy(curves: Mapping[str, Curves]) -> Figure:
    """Importance as a function of the input: one row for each network, its output in the first column."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(10, 2.3 * len(curves)), layout="constrained")
        grid = figure.subplots(len(curves), 3)
        for row, found in zip(grid, curves.values(), strict=True):
            row[0].plot(found.at, found.output, color="black")
            row[0].set_title(found.title, loc="left")
            row[0].set_ylabel("output")
            for axes, (name, lines) in zip(row[1:], found.importance.items(), strict=False):
                for method, values in lines.items():
                    axes.plot(found.at, values, label=method, **LINES[method])
                axes.set_title(f"importance of {name}", loc="left")
                axes.legend(frameon=False, fontsize=7)
            for axes in row[1 + len(found.importance) :]:
                axes.set_axis_off()
            for axes in row:
                axes.set_xlabel(found.varied)
        return figure


def strength(scored: Scored, motif: str) -> Figure:
    """Figure 5a: importance of the best matches against their log-odds; tasks in rows, methods in columns."""
    matches = scored.matches[motif]
    present = labels(scored.sequences)[matches.row]
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(2.1 * len(SHOWN), 6), layout="constrained")
        grid = figure.subplots(len(TASKS), len(SHOWN), sharex=True)
        for column, method in enumerate(SHOWN):
            importance = matches.importance(scored.scores[method, FREQUENCY])
            for row, task in enumerate(TASKS):
                axes = grid[row, column]
                axes.axhline(0, color="#999999", linewidth=0.5)
                for (gata, tal1), (colour, label) in KINDS.items():
                    rows = (present[:, 1] == gata) & (present[:, 2] == tal1)
                    axes.scatter(
                        matches.log_odds[rows],
                        importance[row, rows],
                        s=4,
                        color=colour,
                        linewidths=0,
                        alpha=0.6,
                        label=label,
                        rasterized=True,
                    )
                if row == 0:
                    axes.set_title(SHORT.get(method, method))
                if column == 0:
                    axes.set_ylabel(f"task {task}")
        figure.supxlabel(f"log-odds of the {motif} match")
        figure.supylabel("importance of the match")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside upper right", ncols=len(names), markerscale=3, frameon=False
        )
        return figure


def missed(found: Mapping[str, Sequence[float]]) -> Figure:
    """Figure 5b: the share of strong TAL1 matches that each method misses; a dot for each training."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(7, 0.35 * len(found) + 0.8), layout="constrained")
        axes = figure.subplots()
        for place, shares in enumerate(found.values()):
            axes.barh(place, np.mean(shares), color="#9db4cc")
            axes.plot(shares, [place] * len(shares), "o", color="#202020", markersize=3)
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.set_xlabel("share of strong TAL1 matches with a score of 0 or less")
        return figure


def example(scored: Scored) -> Figure:
    """Figure 6: scores of one sequence with both motifs for the task both, planted instances shaded."""
    row = int(np.flatnonzero(labels(scored.sequences)[:, BOTH])[0])
    sequence = scored.sequences[row]
    letters = one_hot([sequence])[0].astype(np.int8)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(12, 1.05 * len(SHOWN) + 0.5), layout="constrained")
        for axes, method in zip(figure.subplots(len(SHOWN), 1, sharex=True), SHOWN, strict=True):
            draw_logo(axes, scored.scores[method, FREQUENCY][BOTH, row], letters)
            for instance in sequence.planted:
                colour = KINDS[instance.motif == "GATA", instance.motif == "TAL1"][0]
                axes.axvspan(instance.start, instance.end, color=colour, alpha=0.15, linewidth=0)
            axes.set_title(method, loc="left", fontsize=8, pad=2)
        return figure


def conversions(changes: Mapping[tuple[int, int], Mapping[str, NDArray[np.float64]]]) -> Figure:
    """Figure 4, bottom: box plots of the increase of the log-odds of target against original."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        grid = figure.subplots(1, len(changes), sharey=True)
        for axes, ((original, target), found) in zip(grid, changes.items(), strict=True):
            axes.boxplot(
                list(found.values()),
                orientation="horizontal",
                tick_labels=[method.replace(", ", ",\n") for method in found],
                whis=(5, 95),
                showfliers=False,
                medianprops={"color": "#d62839"},
            )
            axes.axvline(0, color="#999999", linewidth=0.5)
            number = len(next(iter(found.values())))
            axes.set_title(f"{original} to {target} ({number} digits)")
        grid[0].invert_yaxis()
        figure.supxlabel("increase of the log-odds of the target class against the original class")
        return figure


def erased(shown: mnist.Example) -> Figure:
    """Figure 4, top: one digit, and what is left of it for each target."""
    targets = sorted({target for _, target in shown.erased})
    methods = [method.name for method in mnist.METHODS]
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(figsize=(11, 1.4 * len(targets)), layout="constrained")
        grid = figure.subplots(len(targets), 1 + len(methods))
        for row, target in enumerate(targets):
            _draw_digit(grid[row, 0], shown.image)
            grid[row, 0].set_title("original" if row == 0 else "")
            for column, method in enumerate(methods, start=1):
                _draw_digit(grid[row, column], shown.erased[method, target])
                if row == 0:
                    grid[row, column].set_title(SHORT.get(method, method))
            grid[row, 0].set_ylabel(f"to {target}")
        return figure


def _draw_digit(axes: Axes, image: NDArray[np.float32]) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
