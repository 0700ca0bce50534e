"""Cut sequences into batches of exactly K rows, and join the results of the batches."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.control_variate import ControlVariate
from deeplift_core.engine.hypothetical import channel_axis_of
from deeplift_core.engine.pairs import TargetScores
from deeplift_core.results import BY_LAYER, Attribution


def batches(
    inputs: tuple[Tensor, ...], references: tuple[Tensor, ...], size: int, shared: bool
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Yield batches of exactly ``size`` rows [K, ...] with their references [K, R, ...].

    The last row is repeated where the last batch is not full.
    """
    total = inputs[0].shape[0]
    for start in range(0, total, size):
        rows = [rows_from(tensor, start, size).contiguous() for tensor in inputs]
        if shared:
            yield rows, [tensor.expand(size, *tensor.shape) for tensor in references]
        else:
            yield rows, [rows_from(tensor, start, size) for tensor in references]


def rows_from(tensor: Tensor, start: int, size: int) -> Tensor:
    """Return exactly ``size`` rows from ``start`` on; the last row is repeated where there are fewer."""
    return tensor[torch.arange(start, start + size, device=tensor.device).clamp(max=len(tensor) - 1)]


def over_references(
    scores: TargetScores,
    channel_axis: int | None,
    *,
    per_reference: bool,
    references: Sequence[Tensor] = (),
    expected: Sequence[Tensor] = (),
) -> Attribution:
    """Return one target's scores of a batch, averaged over the references or one after the other.

    Outputs and errors, which may be more precise, come in the precision of the scores.

    Parameters
    ----------
    scores : TargetScores
    channel_axis : int or None
        The axis along which a one-hot base lies; None if the axis is to be found.
    per_reference : bool
    references : sequence of Tensor [K, R, ...]
        The references of each input; needed with ``expected``.
    expected : sequence of Tensor [K, ...]
        The expectation of the references of each input: see `deeplift_core.engine.control_variate`. Empty if
        the mean is not to be corrected.
    """
    combine = _stack if per_reference else _mean

    def each(name: str) -> list[Sequence[Tensor] | None]:
        columns = zip(*(getattr(pair, name) for pair in scores.pairs), strict=True)
        return [None if column[0] is None else column for column in columns]

    multipliers = [column for column in each("multipliers") if column is not None]
    contributions = [column for column in each("contributions") if column is not None]
    hypothetical = each("hypothetical")
    dtype = contributions[0][0].dtype
    axes = [channel_axis_of(column[0], channel_axis) for column in contributions]
    variates: list[ControlVariate | None] = [None for _ in contributions]
    correction = None
    if expected:
        known = [ControlVariate(*parts) for parts in zip(multipliers, references, expected, strict=True)]
        contributions = [
            variate.corrected(column) for variate, column in zip(known, contributions, strict=True)
        ]
        hypothetical = [
            None if column is None else variate.corrected(column, axis)
            for variate, column, axis in zip(known, hypothetical, axes, strict=True)
        ]
        variates = [*known]
        correction = torch.stack([variate.total() for variate in known]).sum(0).to(dtype)
    spreads = list(zip(contributions, variates, axes, strict=True))
    return Attribution(
        contributions=[combine(column).to(dtype) for column in contributions],
        hypothetical=[None if column is None else combine(column).to(dtype) for column in hypothetical],
        multipliers=[combine(column) for column in multipliers],
        output=scores.output.to(dtype),
        reference_output=scores.reference_output.to(dtype),
        prediction=scores.prediction.to(dtype),
        completeness_error=scores.completeness_error.to(dtype),
        summed=scores.summed.to(dtype),
        rescored=scores.rescored,
        reference_correction=correction,
        standard_error=[_standard_error(column, variate, dtype) for column, variate, _ in spreads],
        position_standard_error=[
            None
            if axis is None
            else _standard_error([value.sum(axis) for value in column], variate, dtype, axis)
            for column, variate, axis in spreads
        ],
    )


def _mean(column: Sequence[Tensor]) -> Tensor:
    return sum(column[1:], start=column[0]) / len(column)


def _stack(column: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(column), 1)


def _standard_error(
    column: Sequence[Tensor], variate: ControlVariate | None, dtype: torch.dtype, axis: int | None = None
) -> Tensor | None:
    """Return the standard error of the mean of a column over R references; None for fewer than two.

    The standard error is the sample standard deviation over the root of R, to which a control variate adds
    the covariance of its terms; ``axis`` is the channel axis over which the column was summed.
    """
    count = len(column)
    if count < 2:
        return None
    # These are differences from the first reference: squares of the values themselves would lose the digits
    # that all references share.
    total = torch.zeros_like(column[0])
    squares = torch.zeros_like(column[0])
    for value in column[1:]:
        moved = value - column[0]
        total += moved
        squares.addcmul_(moved, moved)
    variance = squares.addcmul_(total, total, value=-1 / count).clamp_(min=0) / (count - 1)
    spread = variance.div_(count).sqrt_()
    return (spread if variate is None else variate.standard_error(spread, axis)).to(dtype)


def joined(parts: Sequence[Attribution], rows: int, one_input: bool) -> Attribution:
    """Return the results of all batches as one, without the padding of the last batch."""
    whole = {
        item.name: _join([getattr(part, item.name) for part in parts], rows) for item in fields(Attribution)
    }
    if one_input:
        for name in BY_LAYER:
            whole[name] = whole[name][0]
    return Attribution(**whole)


def _join(parts: list[Any], rows: int) -> Any:
    """Put batches one after the other, without the padding."""
    if isinstance(parts[0], list):
        return tuple(_join(list(column), rows) for column in zip(*parts, strict=True))
    if parts[0] is None:
        return None
    *whole, last = parts
    return torch.cat([*whole, last[: rows - sum(map(len, whole))]])
