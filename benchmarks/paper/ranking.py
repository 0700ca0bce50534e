"""Numbers that say how well scores rank: average precision and rank correlation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve, as the mean precision at the rank of each positive.

    Tied scores enter together, so that their order does not matter.

    Parameters
    ----------
    scores : array [N]
    positive : bool array [N]

    Returns
    -------
    float
        The value is NaN where there are no positives.
    """
    if not positive.any():
        return float("nan")
    _, group = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True)
    size = np.bincount(group)
    hits = np.bincount(group, weights=positive)
    precision = np.cumsum(hits) / np.cumsum(size)
    return float((hits * precision).sum() / hits.sum())


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's correlation of two arrays [N]; ties get their mean rank."""
    return float(np.corrcoef(_mean_ranks(a), _mean_ranks(b))[0, 1])


def _mean_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]
