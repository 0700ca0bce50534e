"""Operations that split a tensor, or read a part of one, as slices and selections."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies

aten = torch.ops.aten


def _split(varies: Varies, func: Any, x: Tensor, size: int | Sequence[int], dim: int = 0) -> list[Tensor]:
    """Write each piece as a slice."""
    total = x.shape[dim]
    sizes = [min(size, total - at) for at in range(0, total, size)] if isinstance(size, int) else list(size)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [
        aten.slice.Tensor(x, dim, start, start + length) for start, length in zip(starts, sizes, strict=True)
    ]


def _unbind(varies: Varies, func: Any, x: Tensor, dim: int = 0) -> list[Tensor]:
    """Write each piece as a selection."""
    return [aten.select.int(x, dim, place) for place in range(x.shape[dim])]


def _scatter(
    varies: Varies, func: Any, x: Tensor, dim: int, index: Tensor, source: Any, *rest: Any, **kwargs: Any
) -> Any:
    """Cut off values of the source beyond the indices, which the operation never reads.

    Autograd refuses a source of another shape than the indices have.
    """
    if not isinstance(source, Tensor) or source.shape == index.shape:
        return NotImplemented
    for axis, length in enumerate(index.shape):
        source = aten.slice.Tensor(source, axis, 0, length)
    return func(x, dim, index, source, *rest, **kwargs)


FORMS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "scatter": _scatter,
    "scatter_add": _scatter,
    "scatter_reduce": _scatter,
}
