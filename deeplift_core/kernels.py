"""Which kernels compute: those that keep what float32 promises."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@torch.library.custom_op("deeplift::erf", mutates_args=())
def erf_as_is(x: Tensor) -> Tensor:
    """The error function by torch's own kernel in compiled code, too.

    What the compiler writes for a CPU instead is off by 5e-7 whatever erf(x) is: near 0 no digit is right.
    """
    return torch.erf(x)


@erf_as_is.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within, cuDNN neither rounds the factors of float32 convolutions to 10 bits (TF32) nor varies its sums.

    It does so by default, and summation-to-delta would hold to 1e-3 only. Who wants the speed asks for
    bfloat16. Settings of the process are as before afterwards; other devices have none to change.
    """
    if device.type != "cuda":
        yield
        return
    enabled = torch.backends.cudnn.enabled
    with torch.backends.cudnn.flags(enabled=enabled, deterministic=True, allow_tf32=False):
        yield
