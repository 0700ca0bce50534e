"""Compare two values of one node: are they the same up to rounding?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deeplift_core.capture.rounding import from_another_precision, from_moved_numbers, least_precise
from deeplift_core.graph import Graph

# Tolerances relative to the spread of the values. Two kernels of this precision differ by less.
_OF_SPREAD = {torch.float64: 1e-9, torch.float32: 1e-4}
# Tolerances relative to the largest value: units of rounding in float32 and float64, else a share of the
# value.
_UNITS = 64
_OF_LARGEST = {torch.float16: 5e-2}
_COARSE = 0.25
# A larger difference is still a rounding error up to this multiple of the estimated rounding error, and up to
# this share of the largest value.
_TIMES, MOST = 10, 0.3


def agree(graph: Graph, node: int, batch: Sequence[Tensor], value: Tensor, other: Tensor) -> bool:
    """Return whether two values of one node are the same up to rounding.

    Where the values differ by more than kernels of their precision do, the graph also runs with other
    roundings, which show by how much its function multiplies rounding errors.

    Parameters
    ----------
    graph : Graph
        The graph that computes the node's value.
    node : int
        The node.
    batch : sequence of Tensor [K, ...]
        Rows on which the graph runs to find its rounding error.
    value, other : Tensor
        The node's values for all rows of a batch, or for some. NaN equals NaN.
    """
    error = relative_error(value, other)
    if error <= _tolerance(graph, node, value):
        return True
    if error == torch.inf:
        return False
    largest = _largest(value, other)
    of_moved = from_moved_numbers(graph, node, batch) / largest
    rounding = max(of_moved, from_another_precision(graph, node, batch) / largest)
    # Errors as large as the values, as those of (a b) c - a (b c), count only if moved numbers show them. In
    # another precision, a model may compute something else.
    return error <= max(min(_TIMES * rounding, MOST), of_moved)


def relative_error(value: Tensor, other: Tensor) -> float:
    """Return the largest difference over the largest finite number; infinite where shapes differ."""
    if value.shape != other.shape:
        return torch.inf
    a, b = (_numbers(tensor) for tensor in (value, other))
    same = (a == b) | (a.isnan() & b.isnan())
    if same.all():
        return 0.0
    largest = _largest(value, other)
    return float((a - b)[~same].abs().nan_to_num(torch.inf).max()) / largest if largest else torch.inf


def _largest(*values: Tensor) -> float:
    """Return the largest finite magnitude."""
    return max(float(_numbers(value).abs().nan_to_num(0, 0, 0).max()) for value in values)


def _numbers(value: Tensor) -> Tensor:
    real = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
    return real.detach().cpu().double()  # not every device has float64


def _tolerance(graph: Graph, node: int, value: Tensor) -> float:
    """Return the tolerance relative to the largest value.

    The spread of the values counts, because an output of 5 +- 0.001 is right only if its thousandths are
    right.
    """
    dtype = least_precise(graph, node)
    if dtype not in _OF_SPREAD:
        return _OF_LARGEST.get(dtype, _COARSE)
    numbers = _numbers(value).nan_to_num(0, 0, 0)
    largest = float(numbers.abs().max()) if numbers.numel() else 0.0
    if not largest or not numbers.dim() or len(numbers) < 2:
        return _OF_SPREAD[dtype]
    spread = float((numbers - numbers.mean(0)).abs().max())
    return max(_OF_SPREAD[dtype] * min(spread / largest, 1), _UNITS * torch.finfo(dtype).eps)
