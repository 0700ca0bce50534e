"""Print what share of the contribution falls on the planted motifs.

    python examples/share.py scores.h5 examples/planted_motifs.bed

Sequences are grouped by the motifs planted in them. For each group: the share of the positions that is
planted, which is what to expect if contributions fell anywhere; the share of the absolute contribution and of
the positive contribution that falls on planted positions, each followed by its ratio to the expectation; and
the AUROC of |contribution| for planted against other bases (0.5 if contributions fell anywhere).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from auroc import auroc
from numpy.typing import NDArray
from scored import InputError, Planted, Scores, read_planted, read_scores

COLUMNS = ("sequences", "number", "planted", "absolute", "ratio", "positive", "ratio", "AUROC")


def planted_positions(
    scores: Scores, planted: dict[str, list[Planted]]
) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """Return which positions are planted [N, L] and the motifs of each sequence [N], as in GATA+TAL1 or none.

    Raises
    ------
    InputError
        No planted motif lies in any scored window.
    """
    mask = np.zeros(scores.contributions.shape, dtype=bool)
    groups = []
    for row in range(len(mask)):
        motifs = scores.planted_in(row, planted)
        for motif in motifs:
            mask[row, motif.start : motif.end] = True
        groups.append("+".join(sorted({motif.motif for motif in motifs})) or "none")
    if not mask.any():
        raise InputError(
            f"no planted motif lies in a scored window: the first motif is on {next(iter(planted))}, "
            f"the first window on {scores.chroms[0] if scores.chroms else '(no sequences)'}"
        )
    return mask, np.array(groups)


def share_row(label: str, contributions: NDArray[Any], mask: NDArray[np.bool_]) -> list[str]:
    """Return one line of the table, as texts, for the sequences [N, L] of one group."""
    if not mask.any():
        return [label, str(len(mask)), "0.0%", *["-"] * 5]
    expected = float(mask.mean())
    cells = [label, str(len(mask)), f"{expected:.1%}"]
    for values in (np.abs(contributions), contributions.clip(min=0)):
        total = float(values.sum())
        share = float(values[mask].sum()) / total if total else float("nan")
        cells += [f"{share:.1%}", f"{share / expected:.1f}x"]
    return [*cells, f"{auroc(np.abs(contributions).ravel(), mask.ravel()):.3f}"]


def share_table(scores_path: Path, planted_path: Path) -> str:
    """Return the table of shares as text.

    Raises
    ------
    InputError
        A file cannot be used, or the two are not about the same sequences.
    """
    scores = read_scores(scores_path)
    mask, groups = planted_positions(scores, read_planted(planted_path))
    rows = [list(COLUMNS)]
    for group in sorted(set(groups.tolist()), key=lambda name: (name == "none", -name.count("+"), name)):
        chosen = groups == group
        rows.append(share_row(group, scores.contributions[chosen], mask[chosen]))
    chosen = groups != "none"
    rows.append(share_row("all with motifs", scores.contributions[chosen], mask[chosen]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, len(COLUMNS))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def main() -> None:
    """Read the two files named on the command line and print the table."""
    parser = argparse.ArgumentParser(
        description="Print what share of the contribution falls on planted motifs."
    )
    parser.add_argument("scores", type=Path, help="scores.h5, as written by `deeplift score`")
    parser.add_argument("planted", type=Path, help="BED file of the planted motifs")
    options = parser.parse_args()
    try:
        print(share_table(options.scores, options.planted))
    except InputError as error:
        sys.exit(f"share.py: {error}")


if __name__ == "__main__":
    main()
