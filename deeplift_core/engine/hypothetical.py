"""Hypothetical contributions: the contribution of each base if the sequence had the base at a position."""

from torch import Tensor


def hypothetical_contributions(
    multiplier: Tensor, x: Tensor, reference: Tensor, channel_axis: int | None
) -> Tensor | None:
    """Return m_b - sum_k ref_k m_k for every base b.

    Parameters
    ----------
    multiplier, x, reference : Tensor [K, ...]
    channel_axis : int or None
        The axis along which a one-hot base lies; None if the axis is to be found.

    Returns
    -------
    Tensor [K, ...] or None
        The value is 0 where neither the sequence nor the reference has a base, and None where there is
        no such axis.
    """
    axis = channel_axis_of(multiplier, channel_axis)
    if axis is None:
        return None
    score = multiplier - (reference * multiplier).sum(axis, keepdim=True)
    empty = ((x == 0) & (reference == 0)).all(axis, keepdim=True)
    return score.masked_fill(empty, 0)


def channel_axis_of(value: Tensor, given: int | None) -> int | None:
    """Return the axis of a value [K, ...] along which a one-hot base lies; None where there is none.

    Parameters
    ----------
    value : Tensor
    given : int or None
        The user's choice; None for axis 1, the last, or any other of size 4, in this order.
    """
    if given is not None:
        # Another input, or a layer, may have fewer axes; axis 0 is that of the rows.
        axis = given % value.dim()
        return axis if axis and -value.dim() <= given < value.dim() else None
    axes = [1, value.dim() - 1, *range(2, value.dim() - 1)]
    return next((axis for axis in axes if 0 < axis < value.dim() and value.shape[axis] == 4), None)
