"""Summation-to-delta: what is promised, and by how much a pair misses it.

Contributions of a pair sum to Delta = output - reference output (paper, equation 1) up to rounding. Rounding
grows with the size of what cancels, so errors are taken relative to max(|Delta|, 0.01 |output|,
0.01 |reference output|).
"""

import torch
from torch import Tensor

# Largest relative error for each precision. bfloat16 rounds outputs themselves by up to 0.4 %, nearly half of
# 0.01 |output|: no promise can be kept there, and what a run warns of is errors of another size.
TOLERANCE = {torch.bfloat16: 1.0, torch.float32: 1e-4, torch.float64: 1e-9}


def relative_error(error: Tensor, output: Tensor, reference_output: Tensor) -> Tensor:
    """Size of the error of each pair, relative to what it explains.

    Parameters
    ----------
    error : Tensor [N, R]
        Sum of contributions - (output - reference output).
    output, reference_output : Tensor [N], [N, R]

    Returns
    -------
    float64 Tensor [N, R]
        0 where the error is 0; infinite where there is an error and nothing to explain; NaN where a value is.
    """
    at_input, at_reference = output.double()[:, None], reference_output.double()
    largest = torch.maximum(at_input.abs(), at_reference.abs())
    scale = torch.maximum((at_input - at_reference).abs(), 0.01 * largest)
    size = error.double().abs()
    return torch.where(size == 0, scale * 0, size / scale)
