"""Tensors that are made of shapes and numbers alone."""

from typing import Any

import torch
from torch import Tensor

from deeplift_cli.models.onnx.operators.types import torch_type
from deeplift_cli.models.onnx.registry import operator


@operator("Size")
def size_of(x: Tensor) -> Tensor:
    """The number of elements."""
    return torch.tensor(x.numel())


@operator("Range")
def evenly_spaced(start: Tensor, limit: Tensor, delta: Tensor, dtype: torch.dtype, **_: Any) -> Tensor:
    """Numbers from start to before limit."""
    kind = dtype if start.is_floating_point() else start.dtype
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=kind)


@operator("EyeLike")
def eye_like(x: Tensor, dtype: Any, k: int = 0) -> Tensor:
    """Ones on a diagonal, with the shape of x."""
    given = torch_type(dtype, x.dtype) if isinstance(dtype, int) else x.dtype
    return torch.ones(x.shape, dtype=given, device=x.device).triu(k).tril(k)
