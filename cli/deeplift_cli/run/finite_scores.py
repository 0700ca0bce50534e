"""Scores that no file should hold: NaN, infinity, and values beyond the range of the stored type."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from deeplift_cli.models.scorer import Scores


def reasons_to_skip(found: Sequence[Scores], labels: Sequence[str], dtype: str) -> dict[int, str]:
    """Find the records of a batch whose scores cannot be stored.

    Parameters
    ----------
    found : sequence of Scores
        The scores of the same records for each target.
    labels : sequence of str
        Each target's name.
    dtype : str
        The type in which scores are stored: "float32" or "float16".

    Returns
    -------
    dict of int to str
        The reason by row, as the end of a sentence that begins with the record's name. A record whose scores
        cannot be stored for one target is left out for all targets, so that the rows of their files agree.
    """
    reasons: dict[int, str] = {}
    # Outputs are checked first: an infinite output of one target makes another target's contributions NaN.
    for reason_of in (_odd_output, partial(_odd_contributions, dtype=dtype)):
        for scores, label in zip(found, labels, strict=True):
            target = f" for target {label}" if len(labels) > 1 else ""
            for row in _rows_to_skip(scores, dtype):
                reason = reason_of(scores, row)
                if reason and row not in reasons:
                    reasons[row] = reason + target
    return dict(sorted(reasons.items()))


def _rows_to_skip(scores: Scores, dtype: str) -> list[int]:
    if _can_be_stored(scores, slice(None), dtype):
        return []
    rows = range(len(scores.output))
    return [row for row in rows if not _can_be_stored(scores, slice(row, row + 1), dtype)]


def _odd_output(scores: Scores, row: int) -> str:
    if not abs(scores.output[row]) <= np.finfo(np.float32).max:
        return f"has no scores: the model's output is {scores.output[row]} for it"
    if np.isnan(scores.prediction[row]):
        return "has no scores: the model's prediction is nan for it"
    at_references = () if scores.reference_output is None else scores.reference_output[row]
    for number, value in enumerate(at_references, start=1):
        if not abs(value) <= np.finfo(np.float32).max:
            of = f"its reference {number} of {len(at_references)}"
            return f"has no scores: the model's output is {value} for {of}"
    return ""


def _odd_contributions(scores: Scores, row: int, dtype: str) -> str:
    values = scores.hypothetical[row]
    if not np.isfinite(values).all():
        odd = values[~np.isfinite(values)][0]
        return f"has no scores: {odd} is among its contributions, though the model's outputs are finite"
    remedy = "; give --dtype float32" if dtype == "float16" else ""
    return (
        f"has contributions up to {np.abs(values).max():.2g}, beyond the range of {dtype} "
        f"({np.finfo(dtype).max:.2g}){remedy}"
    )


def _can_be_stored(scores: Scores, rows: slice, dtype: str) -> bool:
    """Return whether the scores of these rows are finite and in the range of the stored type.

    Every comparison with NaN is false, so that NaN does not pass. A prediction may be infinite, such as the
    logarithm of a probability, while the scores are finite.
    """
    if np.isnan(scores.prediction[rows]).any():
        return False
    outputs = (scores.output, scores.reference_output, scores.mutant_differences)
    limits = [(array[rows], "float32") for array in outputs if array is not None]
    limits.append((scores.hypothetical[rows], dtype))
    return all(
        -np.finfo(kind).max <= array.min() and array.max() <= np.finfo(kind).max for array, kind in limits
    )
