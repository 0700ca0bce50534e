"""Minima as maxima of negatives, bounds as maxima and minima, cumulative products as products, steps."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies, vary

aten = torch.ops.aten


def _amin(varies: Varies, func: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
    if x.dtype == torch.bool:
        return ~torch.amax(~x, *rest, **kwargs)
    return -torch.amax(-x, *rest, **kwargs)


def _min(varies: Varies, func: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Any:
    """Write the minimum of all elements, of two tensors, or along an axis as a maximum of negatives."""
    if rest and isinstance(rest[0], Tensor):
        return aten.minimum.default(x, rest[0])
    if not rest and not kwargs:
        return -aten.amax.default(-x)
    values, places = aten.max.dim(-x, *rest, **kwargs)
    return -values, places


def _max(varies: Varies, func: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Any:
    return aten.maximum.default(x, rest[0]) if rest and isinstance(rest[0], Tensor) else NotImplemented


def _aminmax(varies: Varies, func: Any, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    axes = [] if dim is None else [dim]
    return -aten.amax.default(-x, axes, keepdim), aten.amax.default(x, axes, keepdim)


def _minimum(varies: Varies, func: Any, left: Tensor, right: Tensor) -> Any:
    if vary(varies, left, right) < 2:
        return NotImplemented
    return -aten.maximum.default(-left, -right)


def _fmax(varies: Varies, func: Any, left: Tensor, right: Tensor) -> Any:
    """Write fmax as the maximum; the two differ only where one of the values is NaN."""
    return aten.maximum.default(left, right) if vary(varies, left, right) == 2 else NotImplemented


def _fmin(varies: Varies, func: Any, left: Tensor, right: Tensor) -> Any:
    return aten.minimum.default(left, right) if vary(varies, left, right) == 2 else NotImplemented


def _clamp(varies: Varies, func: Any, x: Tensor, low: Any = None, high: Any = None) -> Any:
    """Write clamp as a maximum and a minimum if a bound depends on the input."""
    if not vary(varies, low, high):
        return NotImplemented
    if low is not None:
        x = aten.maximum.default(x, low)
    return x if high is None else aten.minimum.default(x, high)


def _clamp_min(varies: Varies, func: Any, x: Tensor, low: Any) -> Any:
    return _clamp(varies, func, x, low=low)


def _clamp_max(varies: Varies, func: Any, x: Tensor, high: Any) -> Any:
    return _clamp(varies, func, x, high=high)


def _any(varies: Varies, func: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
    """Write whether any element of a mask is true as the maximum of the mask."""
    return torch.amax((x != 0).to(torch.get_default_dtype()), *rest, **kwargs) > 0


def _all(varies: Varies, func: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
    return torch.amin((x != 0).to(torch.get_default_dtype()), *rest, **kwargs) > 0


def _cummin(varies: Varies, func: Any, x: Tensor, dim: int) -> Any:
    values, places = aten.cummax.default(-x, dim)
    return -values, places


def _cumprod(varies: Varies, func: Any, x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Write each product as the one before it times the next element."""
    running = [x.select(dim, 0)]
    for place in range(1, x.shape[dim]):
        running.append(running[-1] * x.select(dim, place))
    return torch.stack(running, dim)


def _index_put(
    varies: Varies, func: Any, x: Tensor, indices: Any, values: Tensor, accumulate: bool = False
) -> Any:
    """Write an assignment of one number under a mask as a choice between the number and the old values."""
    mask = indices[0]
    if len(indices) != 1 or mask.dtype != torch.bool or values.numel() != 1 or accumulate:
        return NotImplemented
    for _ in range(x.dim() - mask.dim()):
        mask = mask.unsqueeze(-1)
    return torch.where(mask, values.reshape(()), x)


def _heaviside(varies: Varies, func: Any, x: Tensor, at_zero: Tensor) -> Tensor:
    """Write the step as a comparison, because autograd has no derivative of the operation."""
    return torch.where(x == 0, at_zero, (x > 0).to(x.dtype))


FORMS: dict[str, Callable[..., Any]] = {
    "amin": _amin,
    "min": _min,
    "max": _max,
    "aminmax": _aminmax,
    "minimum": _minimum,
    "fmax": _fmax,
    "fmin": _fmin,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "any": _any,
    "all": _all,
    "index_put": _index_put,
    "cummin": _cummin,
    "cumprod": _cumprod,
    "heaviside": _heaviside,
}
