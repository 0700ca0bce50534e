"""Norms as means, squares and reciprocal square roots, so that whole and written-out norms score alike."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies
from deeplift_core.errors import CaptureError

aten = torch.ops.aten


def _batch_norm(
    varies: Varies,
    func: Any,
    x: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    *rest: Any,
    **kwargs: Any,
) -> Any:
    """Write batch norm with constant statistics as one scale and one shift for each channel."""
    constants = [value for value in (weight, bias, mean, var) if value is not None]
    training = func._schema.name.endswith("native_batch_norm") and rest[0]
    if training or mean is None or any(varies(value) for value in constants):
        return _of_the_batch(x, weight, bias, rest[-1])
    scale = (var + rest[-1]).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = _channels(x)
    empty = x.new_empty(0)
    return aten.addcmul.default(shift.view(shape), x, scale.view(shape)), empty, empty


def _batch_norm_legit(
    varies: Varies, func: Any, x: Tensor, weight: Any, bias: Any, *rest: Any, **kwargs: Any
) -> Any:
    """Handle instance norm, too, which calls this operation on one row with the channels of all rows."""
    if len(rest) == 5 and not rest[2]:  # running mean and var, not training
        return _batch_norm(varies, func, x, weight, bias, rest[0], rest[1], rest[3], rest[4])
    return _of_the_batch(x, weight, bias, rest[-1])


def _of_the_batch(x: Tensor, weight: Any, bias: Any, epsilon: float) -> Any:
    if x.shape[0] != 1:
        raise CaptureError(
            "a batch norm without running statistics makes every row depend on the others of its batch, so "
            "no row has contributions of its own; give it running statistics (track_running_stats=True)"
        )
    scaled, mean, rstd = _standardised(x, [0, *range(2, x.dim())], epsilon)
    shape = _channels(x)
    return _scaled(scaled, weight, bias, shape), mean.flatten(), rstd.flatten()


def _layer_norm(
    varies: Varies, func: Any, x: Tensor, shape: Sequence[int], weight: Any, bias: Any, epsilon: float
) -> Any:
    scaled, mean, rstd = _standardised(x, list(range(x.dim() - len(shape), x.dim())), epsilon)
    return _scaled(scaled, weight, bias, list(shape)), mean, rstd


def _group_norm(
    varies: Varies,
    func: Any,
    x: Tensor,
    weight: Any,
    bias: Any,
    rows: int,
    channels: int,
    positions: int,
    groups: int,
    epsilon: float,
) -> Any:
    grouped = x.reshape(rows, groups, -1)
    scaled, mean, rstd = _standardised(grouped, [2], epsilon)
    return _scaled(scaled.reshape(x.shape), weight, bias, _channels(x)), mean[..., 0], rstd[..., 0]


def _var(
    varies: Varies, func: Any, x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> Tensor:
    axes = _axes(x, dim)
    centred = x - x.mean(axes, keepdim=True)
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    freedom = max(0, size - (1 if correction is None else correction))
    return centred.square().sum(axes, keepdim=keepdim) / freedom


def _var_mean(varies: Varies, func: Any, x: Tensor, dim: Any = None, **kwargs: Any) -> Any:
    return _var(varies, func, x, dim, **kwargs), x.mean(_axes(x, dim), keepdim=kwargs.get("keepdim", False))


def _axes(x: Tensor, dim: Any) -> list[int]:
    given = [dim] if isinstance(dim, int) else list(dim or range(x.dim()))
    return [axis % x.dim() for axis in given]


def _standardised(x: Tensor, axes: list[int], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    rstd = (centred.square().mean(axes, keepdim=True) + epsilon).rsqrt()
    return centred * rstd, mean, rstd


def _scaled(x: Tensor, weight: Any, bias: Any, shape: list[int]) -> Tensor:
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def _channels(x: Tensor) -> list[int]:
    return [1, -1] + [1] * (x.dim() - 2)


FORMS: dict[str, Callable[..., Any]] = {
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm_legit,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "var": _var,
    "var_mean": _var_mean,
}
