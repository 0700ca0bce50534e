"""Calls that hand values to Python or numpy without a call that a dispatch mode would see."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deeplift_core.graph import tensors_in

_LEAVES_TORCH = {Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__}
_BUILDS_FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray}


class Exits(TorchFunctionMode):
    """Refuse calls that hand values computed from the input to Python or numpy.

    Results that numpy computes from these values would be constants of the recording.

    Values that leave torch by other ways are found when the recording is compared with the model
    (:mod:`deeplift_core.capture.verification`).

    Parameters
    ----------
    varies : callable
        Returns whether a tensor depends on the input.
    refuse : callable
        Raises an error that names the call.
    """

    def __init__(self, varies: Callable[[Tensor], bool], refuse: Callable[[str], Any]) -> None:
        super().__init__()
        self._varies = varies
        self._refuse = refuse

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Check calls that leave torch, and run every other call as it is."""
        if func in _LEAVES_TORCH and self._varies(args[0]):
            self._refuse(f"Tensor.{func.__name__}")
        if func in _BUILDS_FROM_NUMBERS and not isinstance(args[0], Tensor):
            listed = any(self._varies(value) for value in tensors_in(args[0]))
            if listed:
                self._refuse(f"torch.{func.__name__} of a list; torch.stack takes tensors")
        return func(*args, **(kwargs or {}))
