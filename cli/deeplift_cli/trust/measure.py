"""The result of one measure: lines for a table, and numbers for a machine."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    label : str
        What is measured, in a few words.
    value : str
    normal : str
        What is usual, as measured in docs/trust.md.
    """

    label: str
    value: str
    normal: str


@dataclass(frozen=True)
class Measure:
    """The result of one measure.

    Attributes
    ----------
    name : str
        The key in JSON.
    lines : list of Line
    numbers : dict
        What JSON holds; docs/trust.md lists the keys.
    """

    name: str
    lines: list[Line]
    numbers: dict[str, Any] = field(default_factory=dict)


def quartiles(values: npt.ArrayLike) -> dict[str, float | int | None]:
    """Return median, quartiles and number of the finite values; None where there are none."""
    found = np.asarray(values, np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        return {"median": None, "lower_quartile": None, "upper_quartile": None, "sequences": 0}
    lower, median, upper = np.quantile(found, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "lower_quartile": lower, "upper_quartile": upper, "sequences": int(found.size)}


def in_words(numbers: dict[str, float | int | None]) -> str:
    """Return median and quartiles as text."""
    if numbers["median"] is None:
        return "not defined"
    return f"{numbers['median']:.2f} ({numbers['lower_quartile']:.2f} to {numbers['upper_quartile']:.2f})"


def correlations(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], kept: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return Pearson's and Spearman's correlation of each row over the kept positions.

    Parameters
    ----------
    first, second : array [N, L]
    kept : bool array [N, L]

    Returns
    -------
    pearson, spearman : array [N]
        The value is NaN where a row is constant.
    """
    pearson, spearman = np.full((2, len(first)), np.nan)
    for row, (a, b, some) in enumerate(zip(first, second, kept, strict=True)):
        pearson[row] = _pearson(a[some], b[some])
        spearman[row] = _pearson(_ranks(a[some]), _ranks(b[some]))
    return pearson, spearman


def _pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    if len(a) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()) or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ranks, of which equal values share the mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return ranks
