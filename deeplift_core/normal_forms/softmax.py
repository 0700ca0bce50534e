"""The softmax that attention calls, as softmax."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from deeplift_core.normal_forms.arithmetic import Varies

aten = torch.ops.aten


def _safe_softmax(varies: Varies, func: Any, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Softmax, but 0 where all logits are -inf: only masks make them so, for every sequence alike."""
    x = x if dtype is None else x.to(dtype)
    with _disable_current_modes():  # type: ignore[no-untyped-call]
        empty = (x == -torch.inf).all(dim, keepdim=True)
        none = not bool(empty.any())
    if none:
        return aten._softmax.default(x, dim, False)
    return aten._softmax.default(x.masked_fill(empty, 0), dim, False).masked_fill(empty, 0)


FORMS: dict[str, Callable[..., Any]] = {"_safe_softmax": _safe_softmax}
