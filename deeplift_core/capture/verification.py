"""The proof of a recording: it gives the model's outputs, row by row, on rows other than the example's.

A recording is made on one batch. A value that the recorder did not see (work in another thread, a copy
through Python, random numbers) is a constant of that batch, and other sequences would be scored with that
constant. Rows that depend on each other have no contributions of their own. To find both, the model runs on a
batch of other rows, and the recording on a second batch that has some of these rows at other places among new
rows, and one row of the example. The common rows must have the same outputs. This takes one forward pass of
each. Only where outputs differ, further runs find the reason and the operation.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deeplift_core.capture.agreement import agree, relative_error
from deeplift_core.capture.blame import (
    fails,
    first_failing,
    first_lost,
    first_mixing,
    lost,
    mixed,
    other_function,
)
from deeplift_core.capture.other_rows import Rows, other_rows
from deeplift_core.errors import CaptureError
from deeplift_core.graph import Graph

# Values of the outputs' nodes, in their order, given a batch of rows for each input.
Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class Verified(NamedTuple):
    """The rows on which model and recording were compared, and the model's explained output for these."""

    rows: tuple[Tensor, ...]
    output: Tensor


def verify(
    run: Run,
    graph: Graph,
    outputs: Sequence[int],
    example: Sequence[Tensor],
    record_again: Callable[[Sequence[Tensor]], Graph] | None = None,
    recorded: Sequence[Tensor] | None = None,
) -> Verified:
    """Compare a recording with the model on other rows than the example's.

    Parameters
    ----------
    run : callable
        Runs the model on one batch of rows [K, ...] for each input and returns the values of ``outputs``.
    graph : Graph
        The recording.
    outputs : sequence of int
        Nodes of the model's outputs. The first output is explained, and its rows must not depend on each
        other. Further outputs must be right if they have one row for each row of the input.
    example : sequence of Tensor [K, ...]
        The batch on which the model was recorded.
    record_again : callable, optional
        Records the model on other rows, so that an error can name the operation.
    recorded : sequence of Tensor, optional
        The values of ``outputs`` that the model gave for the example.

    Returns
    -------
    Verified
        The first batch of rows and the model's explained output.

    Raises
    ------
    CaptureError
        If the recording computes another function than the model, or if rows of a batch depend on each other.
        The message names module, operation and source line.
    """
    rows = other_rows(example)
    expected = run(rows.first)
    by_row = [place for place, node in enumerate(outputs) if has_rows(graph, node)]
    # No target takes an output without rows, so that it need only be the model's.
    doubtful = _changed(graph, outputs, by_row, rows, expected, recorded) if 0 in by_row else [0]
    if doubtful:
        found = _values(graph, outputs, rows.first)
        for place in doubtful:
            node = outputs[place]
            if not agree(graph, node, rows.first, expected[place], found[node]):
                again = None if record_again is None else record_again(rows.first)
                raise CaptureError(_difference(graph, node, again, expected[place], found[node]))
        if 0 in by_row and 0 in doubtful:
            raise CaptureError(mixed(first_mixing(graph, outputs[0], rows, example)))
    return Verified(rows.first, expected[0])


def _changed(
    graph: Graph,
    outputs: Sequence[int],
    places: Sequence[int],
    rows: Rows,
    expected: Sequence[Tensor],
    recorded: Sequence[Tensor] | None,
) -> list[int]:
    """Return the places of the outputs that differ between recording and model in the common rows."""
    found = _values(graph, outputs, rows.second)

    def same(place: int) -> bool:
        of_model, of_graph = expected[place][rows.in_first], found[outputs[place]][rows.in_second]
        if recorded is not None:
            of_model = torch.cat([of_model, recorded[place][rows.in_example]])
            of_graph = torch.cat([of_graph, found[outputs[place]][rows.beside]])
        return agree(graph, outputs[place], rows.second, of_model, of_graph)

    return [place for place in places if not same(place)]


def _values(graph: Graph, outputs: Sequence[int], batch: Sequence[Tensor]) -> dict[int, Any]:
    try:
        return graph.run(batch, outputs, ())
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise CaptureError(fails(first_failing(graph, outputs, batch), error)) from error


def _difference(graph: Graph, node: int, again: Graph | None, expected: Tensor, found: Tensor) -> str:
    """Return the message for a node whose value is not the model's."""
    first = None if again is None else first_lost(graph, node, again)
    if first is None:
        return other_function(graph.nodes[node], relative_error(expected, found))
    return lost(first, graph.nodes[node])


def has_rows(graph: Graph, node: int) -> bool:
    """Return whether a node's value has one row for each row of the input."""
    return graph.nodes[node].shape[:1] == (graph.batch_size,)


def assert_same_function(
    graph: Graph, other: Graph, outputs: Sequence[int], example: Sequence[Tensor]
) -> None:
    """Compare a graph with a rewritten one, for the tests of whatever rewrites graphs.

    Parameters
    ----------
    graph, other : Graph
        The graph before and after it was rewritten.
    outputs : sequence of int
        Nodes that both graphs have.
    example : sequence of Tensor [K, ...]
        One batch for each input, as :func:`verify` takes it.

    Raises
    ------
    AssertionError
        If values differ by more than rounding; the message names the first such node.
    """
    batch = other_rows(example).first
    values, found = (one.run(batch, outputs, ()) for one in (graph, other))
    for node in outputs:
        if not agree(graph, node, batch, values[node], found[node]):
            error = relative_error(values[node], found[node])
            raise AssertionError(f"{graph.nodes[node].describe()}: off by {error:.1e} of the largest value")
