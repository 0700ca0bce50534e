"""The numbers of every row of a score file: outputs, errors, noise, and the order of the regions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.datasets import RESCORED, STANDARD_ERROR
from deeplift_cli.outputs.score_reader import ScoreReader

_COLUMNS = (
    "qc/prediction", "qc/output", "qc/reference_output", "qc/completeness_error", "qc/identical_references",
)  # fmt: skip

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """Numbers of N rows.

    Attributes
    ----------
    prediction, output : ndarray, [N]
        The model's own output, and the explained scalar.
    difference : ndarray, [N]
        The explained scalar minus its mean over the references, which the contributions sum to.
    error : ndarray, [N]
        The largest absolute error of summation-to-delta over the references.
    identical : ndarray of int, [N]
        Number of references that equal the sequence.
    rescored : ndarray of int, [N], or None
        Number of references against which the sequence was scored again in float64.
    standard_error : ndarray, [N], or None
        The root mean square, over positions, of the standard error of the contributions.
    order : ndarray of int, [N]
        The rows by absolute difference, the largest first; equal rows in the order of the file.
    """

    prediction: Reals
    output: Reals
    difference: Reals
    error: Reals
    identical: npt.NDArray[np.int64]
    rescored: npt.NDArray[np.int64] | None
    standard_error: Reals | None
    order: npt.NDArray[np.int64]

    @property
    def ranks(self) -> npt.NDArray[np.int64]:
        """The place of each row in `order`, from 0."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(len(self.order))
        return ranks


def read_numbers(reader: ScoreReader) -> Numbers:
    """Read the numbers of all rows, some 60 bytes each.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    optional = [name for name in (RESCORED, STANDARD_ERROR) if name in reader.layout.datasets]
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for found in reader.columns([*_COLUMNS, *optional]):
        found["difference"] = found["qc/output"] - found.pop("qc/reference_output").mean(axis=1)
        found["error"] = np.abs(found.pop("qc/completeness_error")).max(axis=1, initial=0.0)
        for name, values in found.items():
            parts.setdefault(name, []).append(values)

    def reals(name: str) -> Reals:
        return np.concatenate([np.zeros(0), *parts.get(name, [])])

    def counts(name: str) -> npt.NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *parts.get(name, [])])

    difference = reals("difference")
    return Numbers(
        reals("qc/prediction"),
        reals("qc/output"),
        difference,
        reals("error"),
        counts("qc/identical_references"),
        counts(RESCORED) if RESCORED in optional else None,
        reals(STANDARD_ERROR) if STANDARD_ERROR in optional else None,
        np.argsort(-np.nan_to_num(np.abs(difference), nan=-1.0), kind="stable"),
    )
