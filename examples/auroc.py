"""The area under the receiver operating characteristic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def auroc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive scores above a negative, ties counting half.

    Parameters
    ----------
    scores : array [N]
    positive : bool array [N]

    Returns
    -------
    float
        NaN where there are no positives or no negatives.
    """
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    wins = mean_rank[group][positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * n_negative))
