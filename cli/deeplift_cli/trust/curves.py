"""Deletion and insertion: do the positions with the largest contributions carry the output?"""

from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.trust.measure import Line, Measure, in_words, quartiles
from deeplift_cli.trust.sample import Floats, Sample

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# The numbers of references whose bases replace those of a sequence, and of random orders. Medians change from
# draw to draw by less than what a reader acts on (benchmarks/curve_noise.py); 16 of each would take 14 times
# as long.
REFERENCES, ORDERS = 4, 4
_SEED = 0
# A smaller difference in output, as a fraction of the output, is rounding, of which no share can be taken.
_LEAST = 1e-5


def measure(
    sample: Sample, n_references: int = REFERENCES, n_orders: int = ORDERS, seed: int = _SEED
) -> Measure:
    """Replace the positions of the largest contributions by a reference's bases, and the other way round.

    Contributions that point away from the references count as large: the order is that of contribution times
    the sign of the difference in output. Curves are fractions of that difference, and means over references.
    The area is the mean height of a curve above the mean curve of random orders, over shares of 0 to 50 %: 0
    for an order that is no better than random. The area can exceed 1, because a changed sequence may have a
    lower output than the references.

    Parameters
    ----------
    sample : Sample
    n_references : int
        Bases are taken from so many references, the first ones of each sequence.
    n_orders : int
        Number of random orders.
    seed : int
        Of the random orders.
    """
    sizes = np.maximum(np.abs(sample.output), np.abs(sample.reference_output).max(axis=1))
    rows = np.flatnonzero(np.abs(sample.difference) > _LEAST * sizes).tolist()
    draw = np.random.default_rng(seed)
    deleted, inserted = np.zeros((2, len(rows), 1 + n_orders, len(SHARES)))
    for place, row in enumerate(rows):
        deleted[place], inserted[place] = _curves(sample, row, n_references, n_orders, draw)
    lines, numbers = list[Line](), dict[str, Any]()
    for name, curves in (("deletion", deleted), ("insertion", inserted)):
        best, random = curves[:, 0], curves[:, 1:].mean(axis=1)
        area = quartiles(_area(best - random))
        numbers[name] = {
            "shares": list(SHARES),
            "by_contribution": [quartiles(values)["median"] for values in best.T],
            "at_random": [quartiles(values)["median"] for values in random.T],
            "area": area,
        }
        what = "lost when 5 % are replaced" if name == "deletion" else "gained when 5 % are put in"
        at = SHARES.index(0.05)
        shares = (quartiles(curve[:, at])["median"] for curve in (best, random))
        text = " against ".join("not defined" if share is None else f"{share:.2f}" for share in shares)
        lines.append(Line(f"{name}: output {what}", f"{text} at random", "several times random"))
        lines.append(Line(f"{name}: area beyond random order", in_words(area), "0.4 and more"))
    return Measure("curves", lines, numbers)


def _curves(
    sample: Sample, row: int, n_references: int, n_orders: int, draw: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the fractions lost and gained of one sequence, [orders, shares] each; the first is by size."""
    x, references = sample.sequences[row], sample.references[row][:n_references]
    known = np.flatnonzero(sample.known[row])
    sign = np.sign(sample.difference[row])
    by_size = known[np.argsort(-sign * sample.contributions[row][known], kind="stable")]
    orders = [by_size, *(draw.permutation(known) for _ in range(n_orders))]
    changed: list[npt.NDArray[np.float32]] = []
    for order in orders:
        for share in SHARES:
            chosen = order[: max(1, round(share * len(known)))]
            for reference in references:
                without, into = x.astype(np.float32), reference.copy()
                without[:, chosen], into[:, chosen] = reference[:, chosen], x[:, chosen]
                changed += [without, into]
    found = sample.outputs(np.stack(changed), np.full(len(changed), row))
    found = found.reshape(len(orders), len(SHARES), len(references), 2)
    at_references = sample.reference_output[row][: len(references)]
    lost = (sample.output[row] - found[..., 0]).mean(axis=2) / sample.difference[row]
    gained = (found[..., 1] - at_references).mean(axis=2) / sample.difference[row]
    return lost, gained


def _area(curves: Floats) -> Floats:
    """Return the mean height [N] of curves [N, shares] that begin at (0, 0)."""
    shares = np.array([0.0, *SHARES])
    heights = np.concatenate([np.zeros((len(curves), 1)), curves], axis=1)
    found: Floats = ((heights[:, 1:] + heights[:, :-1]) / 2 * np.diff(shares)).sum(axis=1) / shares[-1]
    return found
