"""The gradient mode in which everything is computed, whatever mode the caller is in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Compute without gradients, but outside inference mode: some adjoints are taken by autograd.

    Tensors made in inference mode cannot take part in a gradient later on.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        yield
