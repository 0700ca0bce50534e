"""Which kernels compute: on a GPU, those that keep what float32 promises."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
