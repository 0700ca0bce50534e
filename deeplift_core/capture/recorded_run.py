"""Record a model, or a function of a recorded value, by running it one time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._pytree import tree_map

from deeplift_core.capture.exits import Exits
from deeplift_core.capture.patterns import recognise
from deeplift_core.capture.places import run_user_code
from deeplift_core.capture.recorder import Recorder
from deeplift_core.capture.settings import plain_kernels
from deeplift_core.capture.snapshots import Snapshots
from deeplift_core.errors import CaptureError, DeepLiftError, ForwardError
from deeplift_core.graph import Graph, Ref
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.rules.registry import load_rules_of_other_packages


@contextmanager
def _recording(recorder: Recorder, device: torch.device) -> Iterator[None]:
    """Record every call within the context."""
    with plain_kernels(device), enable_python_dispatcher(), Exits(recorder.varies, recorder.refuse_reading):
        entered = register_module_forward_pre_hook(recorder.entered)
        # This hook also runs if the module raises, because the model may catch the exception and continue.
        left = register_module_forward_hook(recorder.left, always_call=True)
        try:
            with recorder:
                yield
        except RuntimeError:
            if recorder.refusal is None:
                raise
            raise recorder.refusal from None
        finally:
            entered.remove()
            left.remove()


def record_model(
    model: nn.Module,
    example: Sequence[Tensor],
    snapshots: Snapshots | None = None,
    values: list[Tensor] | None = None,
) -> tuple[Graph, list[int], Any]:
    """Record one run of ``model(*example)``.

    Parameters
    ----------
    model : torch.nn.Module
        The model in eval mode, on the example's device.
    example : sequence of Tensor [K, ...]
        One batch for each input.
    snapshots : Snapshots, optional
        Copies of the model's constants that an earlier recording made.
    values : list of Tensor, optional
        An empty list, which gets the values of ``outputs`` for the example.

    Returns
    -------
    graph : Graph
        The recording, with one input node for each example.
    outputs : list of int
        The nodes that hold the model's outputs, flattened.
    structure
        The model's own return value with each tensor replaced by its place in ``outputs``.

    Raises
    ------
    CaptureError
        If the model takes a branch on values, writes in place in a way that cannot be recorded, or
        returns no tensor that depends on the input.
    ForwardError
        If the model's own forward fails.
    """
    load_rules_of_other_packages()
    could_compile = "torch._dynamo" in sys.modules
    try:
        return _record_once(model, example, snapshots, values)
    except (CaptureError, ForwardError):
        if could_compile or "torch._dynamo" not in sys.modules:
            raise
        # The forward imported torch's compiler, as flex_attention does. Only now can it be switched off.
        return _record_once(model, example, snapshots, values)


def _record_once(
    model: nn.Module, example: Sequence[Tensor], snapshots: Snapshots | None, values: list[Tensor] | None
) -> tuple[Graph, list[int], Any]:
    device = example[0].device
    builder = GraphBuilder(device)
    recorder = Recorder(builder, snapshots or Snapshots(), model)
    inputs = [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in example]
    for tensor in inputs:
        recorder.bind(tensor, builder.add_input(tensor))
    with _recording(recorder, device):
        result = _run(model, inputs, recorder)
    recognise(builder)
    outputs: list[int] = []

    def place(value: Any) -> Any:
        ref = recorder.ref(value) if isinstance(value, Tensor) else None
        if ref is None:
            return None
        outputs.append(ref.index)
        if values is not None:
            values.append(value.detach())
        return len(outputs) - 1

    structure = tree_map(place, result)
    if not outputs:
        raise CaptureError(
            f"{type(model).__name__} returned {type(result).__name__} with no tensor that depends on its "
            "input: its forward must return a tensor, or a tuple, list or dict of tensors, which torch's "
            "operations compute from the input (.data, as_subclass and other libraries hide what they do)"
        )
    return builder.graph(), outputs, structure


def _run(model: nn.Module, inputs: Sequence[Tensor], recorder: Recorder) -> Any:
    try:
        return run_user_code(model, *inputs)
    except (DeepLiftError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if recorder.refusal is not None or "can't allocate memory" in str(error):
            raise
        raise recorder.failed(error, inputs) from error


def record_function(
    graph: Graph, at: int, example: Tensor, function: Callable[[Tensor], Any]
) -> tuple[Graph, int]:
    """Record ``function`` of the value of node ``at``.

    Parameters
    ----------
    graph : Graph
        A recording, which does not change.
    at : int
        The node whose value the function gets.
    example : Tensor
        A value of that node.
    function : callable
        A function that uses torch's operations only.

    Returns
    -------
    extended : Graph
        The nodes of ``graph``, followed by those of the function.
    index : int
        The node of the function's result.

    Raises
    ------
    CaptureError
        If the result is not a tensor that depends on the value.
    """
    builder = GraphBuilder(graph.device, graph)
    recorder = Recorder(builder, Snapshots())
    value = example.clone()
    recorder.bind(value, Ref(at))
    with _recording(recorder, graph.device):
        result = run_user_code(function, value)
    recognise(builder, len(graph.nodes))
    ref = recorder.ref(result) if isinstance(result, Tensor) else None
    if ref is None:
        raise CaptureError("the target function must return a tensor that depends on the output it is given")
    return builder.graph(), ref.index
