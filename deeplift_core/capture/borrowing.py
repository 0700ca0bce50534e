"""The user's model in another mode, precision and place for as long as it is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from deeplift_core.capture.settings import RECORDING


@contextmanager
def borrowed(model: nn.Module, dtype: torch.dtype | None, device: torch.device | None) -> Iterator[None]:
    """The user's model in eval mode and in another dtype or device, for as long as it is recorded.

    Everything is put back as it was, whatever happens. A copy would be simpler, but models with derived
    parameters (weight norm) refuse to be copied.
    """
    with RECORDING:
        modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
        tensors = [*model.parameters(), *model.buffers()]
        data = [(tensor, tensor.data) for tensor in tensors]
        try:
            for module, mode in modes:
                if mode:
                    module.training = False
            for tensor, value in data:
                tensor.data = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            yield
        finally:
            for module, mode in modes:
                if module.training != mode:
                    module.training = mode
            for tensor, value in data:
                tensor.data = value
