"""Record a model that is computed in a precision other than its own.

Most models run in any precision. Some name their own precision in the code: ``x.float()`` before a head,
layers that cast their inputs, constants from an earlier call. In another precision such a model fails, or it
rounds values to its own precision.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from deeplift_core.capture.one_precision import one_precision
from deeplift_core.errors import ForwardError
from deeplift_core.graph import Graph

Example = tuple[Tensor, ...]


class _Convertible(Protocol):
    @property
    def graph(self) -> Graph: ...

    def converted(self: "Found", dtype: torch.dtype, example: Example) -> "Found": ...


Found = TypeVar("Found", bound=_Convertible)


def in_precision(
    model: nn.Module, record: Callable[[Example], Found], example: Example, own: torch.dtype | None
) -> Found:
    """Return a recording that computes in the example's precision.

    A model that fails in this precision is recorded in its own precision, and the recording is converted. A
    recording in which values are cast down to the model's own precision is converted, too: in float64, a
    rounding to float32 inside the model would be an error of summation-to-delta. A model that fails in its
    own precision as well, because its code casts values to a third one, is recorded in one precision
    throughout.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    record : callable
        Records the model on an example. The result has a ``graph`` and can be ``converted``.
    example : tuple of Tensor
        One batch for each input, in the precision to compute in.
    own : torch.dtype, optional
        The precision of the model's parameters; None where the model has none.

    Raises
    ------
    ForwardError
        If the model fails in its own precision as well, and with all casts left out.
    """
    try:
        return _in_precision(record, example, own)
    except ForwardError as error:
        try:
            with one_precision(model, example[0].dtype):
                return record(example)
        except ForwardError:
            raise error from error.__cause__


def _in_precision(record: Callable[[Example], Found], example: Example, own: torch.dtype | None) -> Found:
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
