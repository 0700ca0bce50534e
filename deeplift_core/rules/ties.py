"""Ties: values that count as equal to a maximum.

Values within 8 eps of a maximum, relative to its magnitude, are ties, and the first of them is the argmax.
Without a tolerance rounding would decide between values that are equal in exact arithmetic, and float32 would
choose another position than float64. In precisions below float32, eps is that of float32: 8 eps of bfloat16
are 6 % of a value, which is more than rounding, and scores would be less like those of float32 (on DeepSEA's
layers the correlation over positions falls from 0.98 to 0.94).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from deeplift_core.rules.differences import UNITS


def tie_tolerance(dtype: torch.dtype) -> float:
    """Return 8 eps, the largest distance of a tie from a maximum of magnitude 1."""
    return UNITS * torch.finfo(torch.promote_types(dtype, torch.float32)).eps


def tie_threshold(maxima: Tensor) -> Tensor:
    """Return M - 8 eps |M| for each maximum M, which is the smallest value that is a tie."""
    return maxima.sub(maxima.abs(), alpha=tie_tolerance(maxima.dtype))


def tie_threshold_of_rectified(maxima: Tensor) -> Tensor:
    """Return the same threshold for maxima that are all >= 0, in one pass over memory."""
    return maxima.mul(1 - tie_tolerance(maxima.dtype))


def below_tie(maxima: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that gives 1 where a value is below the threshold of its maximum, and 0 at ties."""
    threshold = tie_threshold(maxima)
    return lambda value: threshold.sub(value).gt_(0)


def below_tie_of_rectified(maxima: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the same function for maxima that are all >= 0, without a tensor of thresholds."""
    scale = 1 - tie_tolerance(maxima.dtype)
    return lambda value: value.sub(maxima, alpha=scale).lt_(0)
