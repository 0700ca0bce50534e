"""Matrix products and convolutions as the operations that have rules."""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies, vary

aten = torch.ops.aten


def _traced_convolution(varies: Varies, func: Any, *args: Any) -> Any:
    """Drop the arguments of a traced model's convolution that only choose among kernels."""
    return aten.convolution.default(*args[:9])


def _matrix_vector(varies: Varies, func: Any, matrix: Tensor, vector: Tensor) -> Any:
    """Write a product with a vector as a matrix product with one column, which is a dense layer."""
    return aten.mm.default(matrix, vector.unsqueeze(1)).squeeze(1)


def _matrix_vector_sum(
    varies: Varies, func: Any, bias: Tensor, matrix: Tensor, vector: Tensor, beta: float = 1, alpha: float = 1
) -> Any:
    return bias * beta + _matrix_vector(varies, func, matrix, vector) * alpha


def _dot(varies: Varies, func: Any, left: Tensor, right: Tensor) -> Tensor:
    return torch.mm(left.unsqueeze(0), right.unsqueeze(1)).reshape(())


def _sum_and_product(product: Any) -> Callable[..., Any]:
    """Return a form that writes a matrix product plus a bias as two operations, unless it is a layer.

    A layer has a constant bias and a constant factor.
    """

    def form(
        varies: Varies,
        func: Any,
        bias: Tensor,
        left: Tensor,
        right: Tensor,
        *,
        beta: float = 1,
        alpha: float = 1,
    ) -> Any:
        if not varies(bias) and vary(varies, left, right) < 2:
            return NotImplemented
        multiplied = product(left, right)
        multiplied = multiplied if alpha == 1 else multiplied * alpha
        return multiplied + (bias if beta == 1 else bias * beta)

    return form


def _trilinear(
    varies: Varies, func: Any, x: Tensor, weight: Tensor, y: Tensor, *expansions: Any, **kwargs: Any
) -> Any:
    """Write ``nn.Bilinear``, x W y, as a dense layer on the products of elements of x and of y."""
    if expansions[:4] != ([1, 3], [0], [1, 2], [2, 3]):
        return NotImplemented
    pairs = x.unsqueeze(-1) * y.unsqueeze(-2)
    return pairs.flatten(-2) @ weight.flatten(1).t()


FORMS: dict[str, Callable[..., Any]] = {
    "_convolution": _traced_convolution,
    "mv": _matrix_vector,
    "addmv": _matrix_vector_sum,
    "dot": _dot,
    "addmm": _sum_and_product(aten.mm.default),
    "baddbmm": _sum_and_product(aten.bmm.default),
    "_trilinear": _trilinear,
}
