"""Summation-to-delta (paper, equation 1): the promised tolerance, and the error of each pair.

The contributions of a pair sum to Delta = output - reference output up to rounding. Rounding grows with the
size of the terms that cancel, so that an error is taken relative to the largest of |Delta|, 0.01 |output|,
0.01 |reference output| and some units of rounding of the contributions that are summed.
"""

import torch
from torch import Tensor

from deeplift_core.rules.differences import UNITS

# The largest relative error that is promised, by precision. A half precision rounds the outputs themselves:
# bfloat16 by up to 0.4 %, which is nearly half of 0.01 |output|, and float16 by up to 0.05 %, so that no
# promise can be kept. A run warns of errors larger than these, which are more than rounding.
TOLERANCE = {torch.bfloat16: 1.0, torch.float16: 0.15, torch.float32: 1e-4, torch.float64: 1e-9}


def relative_error(
    error: Tensor,
    output: Tensor,
    reference_output: Tensor,
    summed: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the size of each pair's error relative to the difference that the pair explains.

    Parameters
    ----------
    error : Tensor [N, R]
        Sum of the contributions - (output - reference output).
    output, reference_output : Tensor [N], [N, R]
    summed : Tensor [N, R], optional
        Sum of the contributions' absolute values; at least the size of the error by default.
    dtype : torch.dtype
        The precision in which the contributions were computed.

    Returns
    -------
    float64 Tensor [N, R]
        The value is 0 where the error is 0, NaN where a value is NaN, and finite everywhere else.
    """
    at_input, at_reference = output.double()[:, None], reference_output.double()
    size = error.double().abs()
    largest = torch.maximum(at_input.abs(), at_reference.abs())
    scale = torch.maximum((at_input - at_reference).abs(), 0.01 * largest)
    values = size if summed is None else torch.maximum(summed.double(), size)
    scale = torch.maximum(scale, UNITS * torch.finfo(dtype).eps * values)
    return torch.where(size == 0, scale * 0, size / scale)
