"""The mean over the folds of a cross-validation, and the spread between them, as score files hold both.

`deeplift score` with several models follows these definitions, and so does `deeplift merge --average` with
the score files of single models. All folds have the same sequences and the same references.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = Mapping[str, npt.NDArray[Any] | None]

# Of each of these, the mean over folds is stored. Contributions still sum to the difference in output then.
MEANS = ("hypothetical", "prediction", "output", "reference_output", "completeness_error")
# The mean over folds is also stored of each of these, which scores may lack. The folds share their
# references, so that their errors may be fully correlated: the mean of their standard errors is an upper
# bound of the standard error of the mean.
_OPTIONAL_MEANS = ("reference_correction", "mutant_differences", "standard_error", "position_standard_error")
_COUNTS = ("rescored",)


def mean_of_folds(sequences: npt.NDArray[np.int8], folds: Sequence[Values]) -> dict[str, Any]:
    """Return the mean of the scores of N sequences over two folds or more, and the spread between the folds.

    Parameters
    ----------
    sequences : int8 array [N, 4, L]
        One-hot sequences, in the orientation of the hypothetical contributions.
    folds : sequence of mapping
        The arrays of each fold that `MEANS` names (``hypothetical`` is [N, 4, L]), the number of pairs that
        were ``rescored`` [N], the ``reference_correction`` [N], and the standard errors ``standard_error``
        [N] and ``position_standard_error`` [N, L]. An array that is None, or missing, in one fold is so in
        all folds.

    Returns
    -------
    dict
        The same names. Means are computed in float64; ``rescored`` is the sum. ``fold_sd`` is added: float32
        [N, L], the sample standard deviation over folds of the contribution of each observed base; 0 where
        a sequence has no base.
    """
    found: dict[str, Any] = {}
    for name in (*MEANS, *_OPTIONAL_MEANS, *_COUNTS):
        values: list[Any] = [fold.get(name) for fold in folds]
        if values[0] is None:
            found[name] = None
        else:
            found[name] = np.sum(values, 0) if name in _COUNTS else np.mean(values, 0, dtype=np.float64)
    hypothetical: list[Any] = [fold["hypothetical"] for fold in folds]
    observed = [np.where(sequences != 0, scores, 0).sum(axis=1) for scores in hypothetical]
    found["fold_sd"] = np.std(observed, axis=0, ddof=1, dtype=np.float64).astype(np.float32)
    return found
