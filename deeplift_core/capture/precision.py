"""Record a model that is computed in another precision than its own.

Most models run in any. Some name their own inside (``x.float()`` before a head, layers that cast what they
are given, constants kept from an earlier call), and then fail in another precision, or round to their own
unasked.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from deeplift_core.errors import ForwardError
from deeplift_core.graph import Graph

Example = tuple[Tensor, ...]


class _Convertible(Protocol):
    @property
    def graph(self) -> Graph: ...

    def converted(self: "Found", dtype: torch.dtype, example: Example) -> "Found": ...


Found = TypeVar("Found", bound=_Convertible)


def in_precision(record: Callable[[Example], Found], example: Example, own: torch.dtype | None) -> Found:
    """A recording that computes in the example's precision.

    A model that fails in it is recorded in its own precision, and the recording converted. Casts down to the
    model's own precision are converted in any case: in float64, rounding to float32 inside would be an error
    of summation-to-delta.

    Parameters
    ----------
    record : callable
        Records the model on an example; what it returns has a ``graph`` and can be ``converted``.
    example : tuple of Tensor
        One batch for each input, in the precision to compute in.
    own : torch.dtype, optional
        Of the model's parameters; None where it has none.

    Raises
    ------
    ForwardError
        If the model fails in its own precision, too.
    """
    dtype = example[0].dtype
    if own is None or own == dtype:
        return record(example)
    try:
        found = record(example)
    except ForwardError:
        return record(tuple(tensor.to(own) for tensor in example)).converted(dtype, example)
    narrowed = {node.dtype for node in found.graph.nodes if node.dtype.is_floating_point} - {dtype}
    if narrowed and torch.finfo(dtype).eps < torch.finfo(own).eps:
        return found.converted(dtype, example)
    return found
