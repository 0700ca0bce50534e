"""The functional form of in-place calls: the form that returns a new value."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.errors import CaptureError
from deeplift_core.graph import op_name

aten = torch.ops.aten

# In place, these change only the shape and the strides of a tensor.
_CHANGES_SHAPE = {"squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "as_strided_"}


def changes_shape(func: OpOverload) -> bool:
    """Return whether an in-place call changes only the tensor's shape or strides, and no value."""
    return op_name(func) in _CHANGES_SHAPE


def functional(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Return the value that an in-place call would write to its first argument.

    Raises
    ------
    CaptureError
        If the operation has no form that returns a new value.
    """
    name = op_name(func)[:-1]
    target: Tensor = args[0]
    if name == "zero":
        return torch.zeros_like(target)
    if name == "fill":
        filled: Tensor = torch.zeros_like(target) + args[1]
        return filled
    if name == "copy":
        return _fitted(args[1], target)
    packet = getattr(aten, name, None)
    if packet is None:
        raise CaptureError(f"{func} has no form that is not in place")
    result: Tensor = packet(*args, **kwargs)
    return result if changes_shape(func) else _fitted(result, target)


def _fitted(value: Tensor, target: Tensor) -> Tensor:
    """Return the value in the dtype and shape of ``target``; no call is made where both are the same."""
    value = value.to(target.dtype)
    return value if value.shape == target.shape else value.expand(target.shape)
