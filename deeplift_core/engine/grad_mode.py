"""The gradient mode of all computations, whatever the mode of the caller is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Compute without gradients, but outside inference mode.

    Autograd computes some adjoints, and tensors made in inference mode cannot take part in a gradient.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        yield
