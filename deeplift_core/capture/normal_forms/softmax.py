"""The softmax of attention as plain softmax."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from deeplift_core.capture.normal_forms.arithmetic import Varies


def _safe_softmax(varies: Varies, func: Any, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Write a softmax that is 0 where a mask, which is the same for all sequences, makes all logits -inf."""
    x = x if dtype is None else x.to(dtype)
    with _disable_current_modes():
        empty = (x == -torch.inf).all(dim, keepdim=True)
        none = not bool(empty.any())
    if none:
        return torch.softmax(x, dim)
    return torch.softmax(x.masked_fill(empty, 0), dim).masked_fill(empty, 0)


FORMS: dict[str, Callable[..., Any]] = {"_safe_softmax": _safe_softmax}
