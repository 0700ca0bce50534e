"""Put the user's model into another mode, precision and device while the model is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from deeplift_core.capture.settings import RECORDING
from deeplift_core.errors import CaptureError


@contextmanager
def borrowed(model: nn.Module, dtype: torch.dtype | None, device: torch.device | None) -> Iterator[None]:
    """Put a model into eval mode and another dtype or device within the context.

    A model that is in eval mode itself, but keeps modules in training mode by a ``train`` of its own, keeps
    them so here, too: their dropout is a part of what the model computes.

    Mode, dtype and device are restored afterwards, also after an error. A copy would be simpler, but models
    with derived parameters (weight norm) refuse to be copied.

    Parameters
    ----------
    model : torch.nn.Module
        The model; only one thread at a time may borrow one.
    dtype : torch.dtype or None
        The dtype of floating parameters and buffers; None keeps theirs.
    device : torch.device or None
        The device; None keeps the model's.

    Raises
    ------
    CaptureError
        If a parameter has no shape yet, as those of lazy modules before their first batch.
    """
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise CaptureError(
                f"parameter {name!r} of the model has no shape yet, because its module is lazy: run the "
                "model on one batch first"
            )
    with RECORDING:
        kept = _kept_in_training(model)
        modes = [
            (module, module.training)
            for module in model.modules()
            if hasattr(module, "training") and module not in kept
        ]
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


def _kept_in_training(model: nn.Module) -> set[nn.Module]:
    """Return the modules whose mode is the choice of a ``train`` that is not torch's own."""
    if getattr(model, "training", True):
        return set()
    own = (m for m in model.modules() if getattr(m.train, "__func__", None) is not nn.Module.train)
    return {inner for module in own for inner in module.modules()}
