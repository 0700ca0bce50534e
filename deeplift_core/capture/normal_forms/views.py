"""Pieces, as slices and selections."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies

aten = torch.ops.aten


def _split(varies: Varies, func: Any, x: Tensor, size: int | Sequence[int], dim: int = 0) -> list[Tensor]:
    """Pieces are slices."""
    total = x.shape[dim]
    sizes = [min(size, total - at) for at in range(0, total, size)] if isinstance(size, int) else list(size)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [
        aten.slice.Tensor(x, dim, start, start + length) for start, length in zip(starts, sizes, strict=True)
    ]


def _unbind(varies: Varies, func: Any, x: Tensor, dim: int = 0) -> list[Tensor]:
    return [aten.select.int(x, dim, place) for place in range(x.shape[dim])]


FORMS: dict[str, Callable[..., Any]] = {"split": _split, "split_with_sizes": _split, "unbind": _unbind}
