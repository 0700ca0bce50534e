"""Other ways to write some operations, chosen so that fewer rules are needed.

Each function gets ``varies`` (does this tensor depend on the input?), the operation and its arguments,
and returns the same result by other calls, or NotImplemented to leave the operation as it is.
"""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
Varies = Callable[[Tensor], bool]


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
    """Batch norm with constant statistics is one scale and one shift for each channel."""
    constants = [value for value in (weight, bias, mean, var) if value is not None]
    training = func._schema.name.endswith("native_batch_norm") and rest[0]
    if training or mean is None or any(varies(value) for value in constants):
        return NotImplemented
    scale = (var + rest[-1]).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = [1, -1] + [1] * (x.dim() - 2)
    empty = x.new_empty(0)
    return aten.addcmul.default(shift.view(shape), x, scale.view(shape)), empty, empty


def _div(varies: Varies, func: Any, above: Tensor, below: Any, **kwargs: Any) -> Any:
    """A quotient is a product with the reciprocal."""
    if not isinstance(below, Tensor) or not varies(below) or kwargs.get("rounding_mode") is not None:
        return NotImplemented
    return above * aten.reciprocal.default(below)


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


def _log_sigmoid(varies: Varies, func: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """x - log(1 + exp(x)): a function of x itself, whose positive part stays the positive one."""
    return aten.sub.Tensor(x, aten.logaddexp.default(x, x.new_zeros(()))), x.new_empty(0)


def _traced_convolution(varies: Varies, func: Any, *args: Any) -> Any:
    """What a traced model calls; the arguments left out choose among kernels."""
    return aten.convolution.default(*args[:9])


def _matrix_vector(varies: Varies, func: Any, matrix: Tensor, vector: Tensor) -> Any:
    """A matrix product with one column: a dense layer, not a scaling and a sum."""
    return aten.mm.default(matrix, vector.unsqueeze(1)).squeeze(1)


def _matrix_vector_sum(
    varies: Varies, func: Any, bias: Tensor, matrix: Tensor, vector: Tensor, beta: float = 1, alpha: float = 1
) -> Any:
    return bias * beta + _matrix_vector(varies, func, matrix, vector) * alpha


NORMAL_FORMS: dict[str, Callable[..., Any]] = {
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "div": _div,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "log_sigmoid_forward": _log_sigmoid,
    "_convolution": _traced_convolution,
    "mv": _matrix_vector,
    "addmv": _matrix_vector_sum,
}
