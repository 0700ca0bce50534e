"""Arithmetic of several quantities, as sums, products and reciprocals."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
Varies = Callable[[Tensor], bool]


def vary(varies: Varies, *values: Any) -> int:
    """Count the values that are tensors and depend on the input."""
    return sum(isinstance(value, Tensor) and varies(value) for value in values)


def _div(varies: Varies, func: Any, above: Tensor, below: Any, **kwargs: Any) -> Any:
    """Write a quotient with a divisor that depends on the input as a product with the reciprocal."""
    if not isinstance(below, Tensor) or not varies(below) or kwargs.get("rounding_mode") is not None:
        return NotImplemented
    if not below.is_floating_point() and not below.is_complex():
        # The reciprocal of an integer would be in float32, whatever the precision of the numerator is.
        below = below.to(above.dtype if above.is_floating_point() else torch.get_default_dtype())
    return above * aten.reciprocal.default(below)


def _addcmul(varies: Varies, func: Any, x: Tensor, left: Tensor, right: Tensor, value: float = 1) -> Any:
    if vary(varies, left, right) < 2:
        return NotImplemented
    product = left * right
    return x + (product if value == 1 else product * value)


def _addcdiv(varies: Varies, func: Any, x: Tensor, above: Tensor, below: Tensor, value: float = 1) -> Any:
    quotient = above / below
    return x + (quotient if value == 1 else quotient * value)


def _lerp(varies: Varies, func: Any, start: Tensor, end: Tensor, weight: Any) -> Any:
    """Write an interpolation as two products if its weight depends on the input; else it is affine."""
    if not vary(varies, weight):
        return NotImplemented
    return start * (1 - weight) + end * weight


def _index_add(
    varies: Varies, func: Any, x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1
) -> Any:
    """Scale the added values first; a negative factor then swaps their P and Q, as it should."""
    return NotImplemented if alpha == 1 else aten.index_add.default(x, dim, index, source * alpha)


def _log_sigmoid(varies: Varies, func: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Write log-sigmoid as x - log(1 + exp(x)), a function of x and not of -x, which would swap P and Q."""
    return aten.sub.Tensor(x, aten.logaddexp.default(x, x.new_zeros(()))), x.new_empty(0)


FORMS: dict[str, Callable[..., Any]] = {
    "div": _div,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "index_add": _index_add,
    "log_sigmoid_forward": _log_sigmoid,
}
