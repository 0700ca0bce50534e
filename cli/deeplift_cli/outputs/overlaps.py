"""Rules for positions that several windows cover.

A rule takes the windows of one chromosome, sorted by start, and yields pieces that are sorted and disjoint.
All windows have one length. To add a rule, write it here and name it in `RULES`.
"""

from collections.abc import Callable, Iterator

import click
import numpy as np
import numpy.typing as npt

Starts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]
Pieces = Iterator[tuple[int, Values]]
Rule = Callable[[Starts, Values], Pieces]


def nearest_centre(starts: Starts, values: Values) -> Pieces:
    """Give each position the value of the window whose centre, start + L // 2, is nearest.

    Halfway between two centres the window further right counts, as in ChromBPNet. Among windows with the same
    centre the first one counts.

    Parameters
    ----------
    starts : ndarray of int64, [N]
        Ascending; windows with the same start in the order of the score file's rows.
    values : ndarray of float32, [N, L]
        Per-base values.

    Yields
    ------
    tuple of (int, ndarray)
        Start of a piece and its values.
    """
    length = values.shape[1]
    starts, first = np.unique(starts, return_index=True)
    # All windows have one length, so the nearest centre is one of the two around a position: each window
    # covers the positions from halfway to its left neighbour to halfway to its right neighbour.
    halfway = (starts[:-1] + starts[1:] + 1) // 2 + length // 2
    lows = np.concatenate([starts[:1], np.maximum(halfway, starts[1:])])
    highs = np.concatenate([np.minimum(halfway, starts[:-1] + length), starts[-1:] + length])
    for start, row, low, high in zip(starts.tolist(), first, lows.tolist(), highs.tolist(), strict=True):
        yield low, values[row, low - start : high - start]


def mean(starts: Starts, values: Values) -> Pieces:
    """Give each position the mean over all windows that cover it, summed in float64.

    The function takes the same parameters and yields the same values as `nearest_centre`.
    """
    length = values.shape[1]
    total, count = np.zeros(length), np.zeros(length)
    origin = int(starts[0])
    for start, row in zip(starts.tolist(), values, strict=True):
        done = min(start - origin, length)  # no later window reaches these positions
        if done:
            yield origin, (total[:done] / count[:done]).astype(np.float32)
            total = np.concatenate([total[done:], np.zeros(done)])
            count = np.concatenate([count[done:], np.zeros(done)])
        origin = start
        total += row
        count += 1
    yield origin, (total / count).astype(np.float32)


RULES: dict[str, Rule] = {"nearest-centre": nearest_centre, "mean": mean}
DEFAULT = "nearest-centre"
# The option of the formats that hold one value per base.
OPTION = click.Option(
    ["--overlap"],
    type=click.Choice(list(RULES)),
    default=DEFAULT,
    show_default=True,
    help="Which window counts where several overlap.",
)
