"""Record a function of one node's value, and prove the recording as that of a model is proved."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.recorded_run import record_function
from deeplift_core.capture.settings import plain_kernels
from deeplift_core.capture.verification import verify
from deeplift_core.graph import Graph
from deeplift_core.graph.builder import GraphBuilder

# The function is tried on numbers of this size, as logits are.
_LARGEST = 2.0


def record_proved_function(
    graph: Graph, at: int, example: Tensor, function: Callable[[Tensor], Any]
) -> tuple[Graph, int]:
    """Record ``function`` of the value of node ``at``, and compare the recording with the function.

    The parameters and results are those of :func:`deeplift_core.capture.record_function`.

    Raises
    ------
    CaptureError
        If the result is not a tensor that depends on the value, if the recording computes something else
        than the function, or if rows of the result depend on each other.
    """
    extended, index = record_function(graph, at, example, function)
    if extended.nodes[index].shape[:1] == example.shape[:1]:
        _prove(example, function)
    return extended, index


def _prove(example: Tensor, function: Callable[[Tensor], Any]) -> None:
    numbers = torch.linspace(-_LARGEST, _LARGEST, example.numel(), device=example.device)
    numbers = numbers.reshape(example.shape).to(example.dtype)
    builder = GraphBuilder(example.device)
    builder.add_input(numbers)
    value = builder.graph()
    recorded, index = record_function(value, 0, numbers, function)
    with plain_kernels(example.device):
        verify(
            lambda rows: [function(rows[0].clone())],
            recorded,
            [index],
            [numbers],
            lambda rows: record_function(value, 0, rows[0], function)[0],
        )
