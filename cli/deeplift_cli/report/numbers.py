"""The numbers of every row of a score file: outputs, errors, noise, and the order of the regions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.datasets import COMPLETENESS, IDENTICAL, REFERENCE_OUTPUT, RESCORED, STANDARD_ERROR
from deeplift_cli.outputs.score_reader import ScoreReader

_COLUMNS = ("qc/prediction", "qc/output")
_OF_REFERENCES = (REFERENCE_OUTPUT, COMPLETENESS, IDENTICAL)

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AgainstReferences:
    """Numbers of N rows that compare sequences with their references.

    Attributes
    ----------
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
    """

    difference: Reals
    error: Reals
    identical: npt.NDArray[np.int64]
    rescored: npt.NDArray[np.int64] | None
    standard_error: Reals | None


@dataclass(frozen=True)
class Numbers:
    """Numbers of N rows.

    Attributes
    ----------
    prediction, output : ndarray, [N]
        The model's own output, and the explained scalar.
    against_references : AgainstReferences or None
        The value is None for in-silico mutagenesis, which has no references.
    order : ndarray of int, [N]
        The rows by absolute difference, or for in-silico mutagenesis by absolute output, the largest first;
        equal rows in the order of the file.
    """

    prediction: Reals
    output: Reals
    against_references: AgainstReferences | None
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
    has_references = reader.layout.has_references
    of_references = _OF_REFERENCES if has_references else ()
    for found in reader.columns([*_COLUMNS, *of_references, *optional]):
        if has_references:
            found["difference"] = found["qc/output"] - found.pop(REFERENCE_OUTPUT).mean(axis=1)
            found["error"] = np.abs(found.pop(COMPLETENESS)).max(axis=1, initial=0.0)
        for name, values in found.items():
            parts.setdefault(name, []).append(values)

    def reals(name: str) -> Reals:
        return np.concatenate([np.zeros(0), *parts.get(name, [])])

    def counts(name: str) -> npt.NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *parts.get(name, [])])

    output = reals("qc/output")
    against = None
    if has_references:
        against = AgainstReferences(
            reals("difference"),
            reals("error"),
            counts(IDENTICAL),
            counts(RESCORED) if RESCORED in optional else None,
            reals(STANDARD_ERROR) if STANDARD_ERROR in optional else None,
        )
    size = np.abs(output if against is None else against.difference)
    order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")
    return Numbers(reals("qc/prediction"), output, against, order)
