"""Record a model, prove the recording, and make a second recording with few rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from deeplift_core.capture.agreement import MOST, agree, relative_error
from deeplift_core.capture.blame import counted, first_lost, lost
from deeplift_core.capture.borrowing import borrowed
from deeplift_core.capture.few_rows import FEW_ROWS, with_constants_of
from deeplift_core.capture.freed_memory import give_back_freed_memory
from deeplift_core.capture.kernels import check_kernels
from deeplift_core.capture.other_rows import other_rows
from deeplift_core.capture.places import run_user_code
from deeplift_core.capture.precision import in_precision
from deeplift_core.capture.randomness import check_repeatable
from deeplift_core.capture.recorded_run import record_model
from deeplift_core.capture.settings import plain_kernels
from deeplift_core.capture.snapshots import Snapshots
from deeplift_core.capture.state import check_keeps_nothing, state_of
from deeplift_core.capture.verification import Verified, has_rows, verify
from deeplift_core.errors import CaptureError, TargetError
from deeplift_core.graph import Graph, with_constants

# Such a function returns the place of the explained output, given the model's return value with places
# instead of tensors.
Choose = Callable[[Any], int]


@dataclass(frozen=True)
class Recording:
    """A model as a graph that was compared with the model.

    Attributes
    ----------
    graph : Graph
        The recording on K rows.
    outputs : tuple of int
        The nodes of the model's outputs that depend on the input, flattened.
    structure
        The model's return value with each tensor replaced by its place in ``outputs``, None for the rest.
    output : int
        The node of the output that was chosen.
    few_rows : Graph or None
        The same calls on `FEW_ROWS` rows, node by node, with the constants of ``graph``. The value is None
        where K is no larger than that, or where the model makes other calls on fewer rows.
    """

    graph: Graph
    outputs: tuple[int, ...]
    structure: Any
    output: int
    few_rows: Graph | None

    @cached_property
    def in_float64(self) -> "Recording":
        """The same calls in float64, on few rows where the model takes few."""
        graph = (self.few_rows or self.graph).converted(torch.float64)
        return replace(self, graph=graph, few_rows=None)

    def with_constants(self, places: Sequence[int], values: Sequence[Tensor]) -> "Recording":
        """Return the recording of the other inputs, with the values of some inputs among its constants.

        Parameters
        ----------
        places : sequence of int
            The places of these inputs among all.
        values : sequence of Tensor [K, ...]
            One for each of ``places``.

        Raises
        ------
        TargetError
            If the explained output depends on these inputs alone.
        """
        nodes = [self.graph.inputs[place] for place in places]
        graph = with_constants(self.graph, dict(zip(nodes, values, strict=True)))
        if not set(graph.inputs) & set(graph.ancestors(self.output)):
            raise TargetError("the explained output depends on no input but those that are constants")
        # A recording of fewer rows needs the values of the rows that it is to score.
        return replace(self, graph=graph, few_rows=None)

    def converted(self, dtype: torch.dtype, example: Sequence[Tensor]) -> "Recording":
        """Return the same calls in another precision, after a comparison of the two.

        Parameters
        ----------
        dtype : torch.dtype
            The floating precision of the new recording.
        example : sequence of Tensor [K, ...]
            The batch on which the model was recorded.

        Raises
        ------
        CaptureError
            If the calls fail in that precision, or compute another function.
        """
        graph = self.graph.converted(dtype)
        try:
            same = _same_function(self.graph, graph, self.output, example)
        except (RuntimeError, TypeError, ValueError) as error:
            raise CaptureError(f"the model does not run in {dtype}: {error}") from error
        if not same:
            raise CaptureError(
                f"the model computes something else in {dtype} than in its own precision: choose its own"
            )
        few = None if self.few_rows is None else with_constants_of(graph, self.few_rows.converted(dtype))
        return replace(self, graph=graph, few_rows=few)


def _same_function(graph: Graph, converted: Graph, output: int, example: Sequence[Tensor]) -> bool:
    """Return whether a graph in another precision has the same output on other rows than the example's."""
    rows = other_rows(example).first
    graphs = (graph, converted)
    with plain_kernels(graph.device):
        batches = [[tensor.to(one.nodes[one.inputs[0]].dtype) for tensor in rows] for one in graphs]
        values = [one.run(batch, [output], ())[output] for one, batch in zip(graphs, batches, strict=True)]
        # An output that is nothing but rounding is another function in another precision.
        return relative_error(*values) <= MOST and any(
            agree(one, output, batch, *values) for one, batch in zip(graphs, batches, strict=True)
        )


def record(model: nn.Module, example: tuple[Tensor, ...], choose: Choose) -> Recording:
    """Record a model and prove the recording.

    The model is left as it was: mode, precision, device and hooks. The model runs on the example, on other
    rows, and on a few of the other rows. A model that draws random numbers runs on the example twice more,
    and a model that keeps something from these calls runs on the other rows twice more.

    Parameters
    ----------
    model : torch.nn.Module
        The model, in any mode and precision and on any device.
    example : tuple of Tensor [K, ...]
        One batch for each input, in the precision and on the device to compute in.
    choose : callable
        Returns the place of the explained output. Its argument is the model's return value, in which each
        tensor that depends on the input is replaced by its place among these, and everything else by None.

    Returns
    -------
    Recording

    Raises
    ------
    CaptureError
        If the model cannot be recorded, if its recording computes something else than the model, if rows
        of a batch or random numbers change the explained output, or if the model counts its calls.
    ForwardError
        If the model's own forward fails.
    OptionError
        If this processor computes wrong results in the example's precision.
    """
    check_kernels(example[0].dtype, example[0].device)
    tensors = chain(model.parameters(), model.buffers())
    own = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), None)
    return in_precision(model, partial(_record_as_given, model, choose), example, own)


def _record_as_given(model: nn.Module, choose: Choose, example: tuple[Tensor, ...]) -> Recording:
    """Record the model in the example's precision."""
    first = example[0]
    snapshots = Snapshots()
    with borrowed(model, first.dtype, first.device), plain_kernels(first.device):
        values: list[Tensor] = []
        graph, outputs, structure = record_model(model, example, snapshots, values)
        give_back_freed_memory()
        kept = state_of(model)
        place = choose(structure)
        leaves = tree_leaves(structure)
        check_repeatable(model, example, leaves.index(place), graph.draws)
        # Other outputs of a model that draws random numbers may be different each time.
        compared = [place] if graph.draws else [place, *(i for i in range(len(outputs)) if i != place)]
        run = partial(_outputs, model, [leaves.index(i) for i in compared])
        verified = verify(
            run,
            graph,
            [outputs[i] for i in compared],
            example,
            lambda rows: record_model(model, rows, snapshots)[0],
            [values[i] for i in compared],
        )
        few = _on_few_rows(model, graph, [outputs[i] for i in compared], place, verified, snapshots)
        check_keeps_nothing(model, kept, partial(run, verified.rows))
    give_back_freed_memory()
    return Recording(graph, tuple(outputs), structure, outputs[place], few)


def _outputs(model: nn.Module, places: Sequence[int], batch: Sequence[Tensor]) -> list[Tensor]:
    """Run the model and return the tensors at these places among the leaves of its return value."""
    try:
        leaves = tree_leaves(run_user_code(model, *(tensor.clone() for tensor in batch)))
        values = [leaves[place] for place in places]
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise CaptureError(
            f"the model runs on the example, but not on other rows of its shape: {error}"
        ) from error
    if not all(isinstance(value, Tensor) for value in values):
        raise CaptureError("the model returns other kinds of values for other rows than the example's")
    return values


def _on_few_rows(
    model: nn.Module,
    graph: Graph,
    outputs: Sequence[int],
    place: int,
    verified: Verified,
    snapshots: Snapshots,
) -> Graph | None:
    """Return the recording on `FEW_ROWS` rows; None where the model makes other calls on fewer rows.

    The rows are not the example's. The constants of the two recordings therefore differ where a value left
    the recorder's sight, even if the output does not show the loss, as after a saturated sigmoid. The model
    must give these rows the values that it gives them among more rows.
    """
    batch = [tensor[:FEW_ROWS] for tensor in verified.rows]
    values: list[Tensor] = []
    try:
        again, again_outputs, _ = record_model(model, batch, snapshots, values)
    except CaptureError:  # the model may have been exported for one batch size, for instance
        return None
    if not graph.draws and any(first_lost(graph, output, again) for output in outputs):
        # A constant may also depend on the number of rows. A recording on as many rows shows which it is.
        again_on_all, _, _ = record_model(model, verified.rows, snapshots)
        for output in outputs:
            found = first_lost(graph, output, again_on_all)
            if found is not None:
                raise CaptureError(lost(found, graph.nodes[output]))
    explained = outputs[0]
    if not has_rows(graph, explained) or graph.batch_size <= FEW_ROWS:
        return None
    if not graph.draws and len(values) > place:
        value, node = values[place], again_outputs[place]
        among_more = verified.output[:FEW_ROWS]
        if value.shape == among_more.shape and not agree(again, node, batch, among_more, value):
            raise CaptureError(counted(graph.nodes[explained], FEW_ROWS, graph.batch_size))
    few = with_constants_of(graph, again)
    if few is None:
        return None
    value = few.run(batch, [explained], ())[explained]
    return few if agree(few, explained, batch, verified.output[:FEW_ROWS], value) else None
