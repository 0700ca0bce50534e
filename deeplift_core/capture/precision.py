"""Record a model that is computed in another precision than its own.

Most models run in any. Some name their own inside (``x.float()`` before a head, layers that cast what they
are given, constants kept from an earlier call), and then fail in another, or round to their own unasked.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from deeplift_core.errors import ForwardError
from deeplift_core.graph.graph import Graph

Example = tuple[Tensor, ...]
Found = TypeVar("Found")


def in_precision(
    record: Callable[[Example], tuple[Graph, Found]], example: Example, own: torch.dtype | None
) -> tuple[Graph, Found]:
    """A recording that computes in the example's precision.

    A model that fails in it is recorded in its own, and the recording converted. Casts down to its own are
    converted in any case: in float64, rounding to float32 inside would be an error of summation-to-delta.

    Parameters
    ----------
    record : callable
        Runs the model on an example, and returns the graph and whatever else there is to say about it.
    example : tuple of Tensor
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
        graph, found = record(example)
    except ForwardError:
        graph, found = record(tuple(tensor.to(own) for tensor in example))
        return graph.converted(dtype), found
    narrowed = {node.dtype for node in graph.nodes if node.dtype.is_floating_point} - {dtype}
    if narrowed and torch.finfo(dtype).eps < torch.finfo(own).eps:
        return graph.converted(dtype), found
    return graph, found
