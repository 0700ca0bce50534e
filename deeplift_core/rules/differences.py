"""Differences-from-reference of rounded values, and quotients of such differences."""

from typing import NamedTuple

import torch
from torch import Tensor

# A difference of at most this many eps of its values' magnitude counts as 0.
UNITS = 8.0


def magnitude(*values: Tensor) -> Tensor:
    """Return the largest absolute value, element by element."""
    largest = values[0].abs()
    for value in values[1:]:
        largest = torch.maximum(largest, value.abs())
    return largest


def resolution(*values: Tensor) -> Tensor:
    """Return the size below which a difference of these values counts as 0, element by element."""
    largest = magnitude(*values)
    return largest.mul_(UNITS * torch.finfo(largest.dtype).eps)


def where_positive(condition: Tensor, value: Tensor) -> Tensor:
    """Return ``value`` where ``condition`` > 0, else 0; a NaN in ``condition`` gives either of the two.

    This kernel is much faster on a CPU than `torch.where`, which branches for every element.
    """
    chosen: Tensor = torch.ops.aten.threshold_backward.default(value, condition, 0)
    return chosen


def difference(x: Tensor, reference: Tensor) -> Tensor:
    """Return the difference-from-reference, exactly 0 where the difference is no larger than rounding.

    The magnitude is taken of the reference alone: where the comparison matters, the two magnitudes are the
    same but for rounding.
    """
    delta = x - reference
    rounding = UNITS * torch.finfo(delta.dtype).eps
    return where_positive(delta.abs().sub_(reference.abs(), alpha=rounding), delta)


class Noise(NamedTuple):
    """The error that a difference of two rounded values may have.

    The error is kept as a tensor and two numbers, since a further tensor would cost a pass over memory.

    Attributes
    ----------
    magnitude : Tensor
        The magnitude of the values.
    share : float
        The part of the magnitude that is rounding.
    lost : float
        The error that the function's own formula adds, for a difference over a step of 0.
    """

    magnitude: Tensor
    share: float
    lost: float

    @classmethod
    def of(cls, *values: Tensor, units: float = UNITS, lost: float = 0.0) -> "Noise":
        """Return the error for values of these sizes, of which each is rounded by ``units`` eps."""
        return cls(magnitude(*values), units * torch.finfo(values[0].dtype).eps, lost)


# From this step on the digits that a formula loses do not matter: the quotient of a long step is right in
# spite of the loss, and keeps the sum exact, which is a sum of what the model computes.
_LONG = 0.1


def quotient(change: Tensor, by: Tensor, limit: Tensor, noise: Noise, *, near: bool = False) -> Tensor:
    """Return ``change / by``, or the quotient's limit where ``by`` is too small to divide by.

    The limit is taken where ``limit * by`` agrees with the change to within the change's own error:
    sigmoid(1e-3) and sigmoid(1e-3 + 1e-8) differ by one unit of rounding or by none, and neither is a slope.

    Parameters
    ----------
    change, by, limit : Tensor
        The first of the three is overwritten, since a new tensor would cost more time.
    noise : Noise
        The error of the change.
    near : bool
        True if ``limit * by`` is finite and never many times as large as the values that changed. The
        limit plus (change - limit * by) / by then is the quotient, in fewer passes over memory.
    """
    if near:
        rest = change.addcmul_(limit, by, value=-1)
        beyond = rest.abs()
    else:
        rest, beyond = change, torch.addcmul(change, limit, by, value=-1).abs_()
    beyond.sub_(noise.magnitude, alpha=noise.share)
    if noise.lost:
        beyond.addcmul_(by, by, value=noise.lost / _LONG**2)
    found = rest.div_(by)
    torch.ops.aten.threshold_backward.grad_input(found, beyond, noise.lost, grad_input=found)
    # The comparison gives the numbers 0 and 1, which are faster here than a mask.
    return found.add_(limit if near else where_positive(beyond.le_(noise.lost), limit))
