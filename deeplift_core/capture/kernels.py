"""Refuse a precision in which torch's own kernels give wrong results on this processor.

A recording is compared with its model, but both run the same kernels. On processors with AMX, oneDNN's
convolutions in bfloat16 (seen with torch 2.14.1) give results that are off by as much as the values
themselves if a filter covers a multiple of 64 numbers, as a first layer on four bases of width 16 or 24 does.
"""

from functools import cache

import torch
import torch.nn.functional as F

from deeplift_core.errors import OptionError

_LARGEST_ERROR = 0.05  # fraction of the largest value; bfloat16 rounds to 0.004
# Input channels and widths of filters.
_SHAPES = ((2, 32), (4, 16), (4, 24), (8, 8), (8, 16), (16, 4), (64, 3))


def check_kernels(dtype: torch.dtype, device: torch.device) -> None:
    """Compare small convolutions in a precision below float32 with those in float32, once in a process.

    Parameters
    ----------
    dtype : torch.dtype
    device : torch.device
        Only the CPU's kernels are compared.

    Raises
    ------
    OptionError
        If they differ by more than rounding; the message says what to set.
    """
    if device.type != "cpu" or dtype != torch.bfloat16 or largest_error(dtype) <= _LARGEST_ERROR:
        return
    raise OptionError(
        "torch's convolutions in bfloat16 give wrong results on this processor, by a fault of its library "
        "for AMX: set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment before Python starts, or "
        "compute in float32"
    )


@cache
def largest_error(dtype: torch.dtype) -> float:
    """Return the largest difference from float32, over the largest value, of some small convolutions."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    with torch.no_grad():
        for channels, width in _SHAPES:
            x = torch.randn(2, channels, 1, 2 * width, generator=generator)
            weight = torch.randn(16, channels, 1, width, generator=generator)
            right = F.conv2d(x, weight)
            found = F.conv2d(x.to(dtype), weight.to(dtype)).float()
            errors.append(float((found - right).abs().max() / right.abs().max()))
    return max(errors)
