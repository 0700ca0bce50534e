"""Record a model as a graph of ATen calls, by running it once.

Recording under a dispatch mode sees functional calls, tensor methods, reused modules, TorchScript and
converted ONNX alike. What does not depend on the input is just executed, so constants fold by
themselves. Composite operations are decomposed until each has a rule, in-place writes are recorded as
new values (:mod:`deeplift_core.capture.inplace`), and everything is recorded on one batch of a fixed number
of rows.
"""

import operator
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from deeplift_core.advice import TOKENS
from deeplift_core.capture.inplace import TensorTracker
from deeplift_core.capture.normal_forms import NORMAL_FORMS, WRITE_NOTHING
from deeplift_core.capture.patterns import recognise
from deeplift_core.errors import CaptureError, DeepLiftError, ForwardError
from deeplift_core.graph.graph import Graph, Ref, op_name, tensors_in
from deeplift_core.passes.sequence_convolution import convolution, prepared
from deeplift_core.rules.elementwise import is_elementwise
from deeplift_core.rules.registry import (
    load_rules_of_other_packages,
    registered,
    registered_by_another_package,
)

aten = torch.ops.aten

# Reading a value computed from the input: Python would then take a branch that other sequences do not.
_READS_VALUES = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2", "item"}
# Only the shape of the argument matters; what they make is constant.
_READS_SHAPE = {
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "rand_like", "randn_like", "randint_like",
}  # fmt: skip
# And these leave in it what was in the memory before.
_LEAVES_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
# In place, these change only how a tensor lies in its memory.
_CHANGES_SHAPE = {"squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "as_strided_"}
# These hand values to Python or numpy without a call that a dispatch mode would see.
_LEAVES_TORCH = {Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__}
_BUILDS_FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray}
# Recording changes settings of the process, and of the model, for as long as it takes: one at a time.
_RECORDING = threading.RLock()
_OWN_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


class _Calls:
    """The calls of a graph, to which it appends.

    Apart from the recorder, for a cycle of the two and the tracker would keep copies of all weights until
    Python's collector comes.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[Any, Ref] = {}
        self.running: list[str] = [""]  # names of modules, the innermost last

    def emit(
        self, op: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], example: Any
    ) -> Ref:
        """The node of a call: an earlier one where the same module has made the same call already.

        ``where(x[a] > x[b], x[a], x[b])`` is then recognised, and computed, as if ``x[a]`` had a name.
        """
        module = self.running[-1]
        key = (op, module, _identity(args), _identity(tuple(kwargs.items())))
        if key not in self._known:
            self._known[key] = self._graph.add(
                op, args, dict(kwargs), example, module=module, source=_source_line()
            )
        return self._known[key]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Appends to ``graph`` every call that depends on a bound tensor."""

    def __init__(self, graph: Graph, modules: nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self._calls = _Calls(graph)
        self._prepared: dict[int, tuple[Tensor, Tensor]] = {}  # by the snapshot's id
        self._thread = threading.get_ident()
        self._tracker = TensorTracker(self._calls.emit)
        self._decompositions = _decompositions()
        self._names = {module: name for name, module in modules.named_modules()} if modules else {}
        self.refusal: CaptureError | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch asks this; with its own answer, yes, the first call imports all of dynamo: over a second."""
        return False

    # ---- tensors and nodes

    def bind(self, tensor: Tensor, ref: Ref) -> None:
        """From now on, calls on ``tensor`` refer to this node."""
        self._tracker.bind(tensor, ref)

    def ref(self, tensor: Tensor) -> Ref | None:
        """The node that holds ``tensor``'s value; None where it does not depend on the input."""
        return self._tracker.lookup(tensor)

    # ---- modules

    def entered(self, module: nn.Module, _: Any) -> None:
        """Global forward pre-hook: note which module runs, unless it is another thread's."""
        if threading.get_ident() != self._thread:
            return
        running = self._calls.running
        running.append(self._names.get(module, running[-1]))

    def left(self, module: nn.Module, _: Any, output: Any) -> None:
        """Global forward hook: note which node is the module's output."""
        if threading.get_ident() != self._thread:
            return
        name = self._calls.running.pop()
        if isinstance(output, Tensor) and module in self._names:
            ref = self.ref(output)
            if ref is not None:
                self.graph.module_outputs[name] = ref.index

    # ---- calls

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Execute what is constant, record what is not."""
        kwargs = dict(kwargs or {})
        varying = any(self.ref(tensor) is not None for tensor in tensors_in((args, kwargs)))
        name = op_name(func)
        writes = func._schema.is_mutable and name not in WRITE_NOTHING
        if writes and (varying or any(map(self._tracker.was_written, args[:1]))):
            return self._write(func, args, kwargs)
        if name in _LEAVES_UNWRITTEN:
            # What was in the memory before would make places that are written later NaN at random.
            return func(*args, **kwargs).zero_()
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.graph.draws.append(f"{func} in {self._where()}")
        if name == "embedding" and not _holds_indices(args[1]):
            self._refuse(f"{self._where()} looks up token ids in a table: {TOKENS}")
        if not varying or name in _READS_SHAPE:
            return func(*args, **kwargs)
        if name in _READS_VALUES:
            self.refuse_reading(str(func))
        if func is aten.as_strided.default:
            return self._tracker.bound_view(func(*args, **kwargs), args[0])
        if name in NORMAL_FORMS and not registered_by_another_package(func):
            with self:
                normal = NORMAL_FORMS[name](lambda t: self.ref(t) is not None, func, *args, **kwargs)
            if normal is not NotImplemented:
                return normal
        if not (registered(func) or is_elementwise(func)):
            if func in self._decompositions:
                with self:
                    return self._decompositions[func](*args, **kwargs)
            with self:
                composite = func.decompose(*args, **kwargs)
            if composite is not NotImplemented:
                return composite
        return self._record(func, args, kwargs)

    def refuse_reading(self, call: str) -> NoReturn:
        """Refuse a call that takes values out of the recording; TorchScript hides the error's type.

        Raises
        ------
        CaptureError
            Always.
        """
        self._refuse(
            f"{self._where()} reads a value computed from the input ({call}); the calls a model makes "
            "must not depend on the sequence: replace the branch with tensor operations"
        )

    def _refuse(self, message: str) -> NoReturn:
        self.refusal = CaptureError(message)
        raise self.refusal

    def _record(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the call, append it, and bind its results."""
        output = func(*args, **kwargs)
        if not any(isinstance(value, Tensor) for value in tree_flatten(output)[0]):
            return output
        op, arguments = self._for_replay(func, self._symbolic(args))
        ref = self._calls.emit(op, arguments, self._symbolic(kwargs), output)
        self._tracker.allocated(output, (args, kwargs))
        if isinstance(output, Tensor):
            self.bind(output, ref)
        else:
            for position, value in enumerate(output):
                if isinstance(value, Tensor):
                    self.bind(value, self._calls.emit(operator.getitem, (ref, position), {}, value))
        return output

    def _for_replay(self, func: OpOverload, args: Sequence[Any]) -> tuple[Callable[..., Any], Sequence[Any]]:
        """The call that later batches get for one of the model's: the same function, without its needs."""
        if func in (aten.view.default, aten._unsafe_view.default):
            return aten.reshape.default, args  # a batch may come with other strides than the example's
        if func is aten.convolution.default and isinstance(args[1], Tensor) and args[1].dim() == 3:
            x, weight, *others = args
            if id(weight) not in self._prepared:
                # With the snapshot itself, so that no other gets its id.
                self._prepared[id(weight)] = weight, prepared(weight)
            return convolution, (x, self._prepared[id(weight)][1], *others)
        return func, args

    def _symbolic(self, value: Any) -> Any:
        """Replace tensors in arguments by references, or by snapshots where they are constant."""

        def convert(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            return self.ref(item) or self._tracker.snapshot(item)

        return tree_map(convert, value)

    def _write(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """An in-place call: record its functional form, then write the result where the model wants it."""
        written = [
            argument
            for argument, declared in zip(args, func._schema.arguments, strict=False)
            if declared.alias_info is not None and declared.alias_info.is_write
        ]
        target = written[0] if len(written) == 1 else None
        if not isinstance(target, Tensor) or target is not args[0] or not func._schema.name.endswith("_"):
            raise CaptureError(
                f"{self._where()} writes to a tensor in a way that cannot be recorded ({func})"
            )
        if op_name(func) in _CHANGES_SHAPE:
            with self:
                moved = self.ref(_functional(func, args, kwargs))
            func(*args, **kwargs)
            self._tracker.bind(target, moved or self._tracker.snapshot(target))
            return target
        self._tracker.before_write(target)
        with self:
            value = _functional(func, args, kwargs)
        ref = self.ref(value) or self._tracker.snapshot(value)
        target.copy_(value)
        self._tracker.after_write(target, ref)
        return target

    def failed(self, error: Exception, example: Sequence[Tensor]) -> ForwardError:
        """What the model's own exception is reported as."""
        shapes = " and ".join(str(list(tensor.shape)) for tensor in example)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        place = self._where(_innermost(error.__traceback__))
        return ForwardError(f"{place} failed on an input of shape {shapes}, {example[0].dtype}: {reason}")

    def _where(self, source: str | None = None) -> str:
        source = _source_line() if source is None else source
        name = self._calls.running[-1]
        return (f"module {name!r}" if name else "the model's forward") + (f" ({source})" if source else "")


@cache
def _decompositions() -> Mapping[Any, Callable[..., Any]]:
    return core_aten_decompositions()


def _identity(value: Any) -> Any:
    """Equal for arguments that are the same: constants by their place in memory, which the graph holds."""
    if isinstance(value, (tuple, list)):
        return tuple(_identity(item) for item in value)
    if isinstance(value, Tensor):
        return id(value)
    return value if isinstance(value, Ref) else (type(value), repr(value))


def _holds_indices(value: Any) -> bool:
    return not (isinstance(value, Tensor) and value.is_floating_point())


def _functional(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """What an in-place call would leave in its first argument."""
    name = op_name(func)[:-1]
    target: Tensor = args[0]
    if name == "zero":
        return torch.zeros_like(target)
    if name == "fill":
        filled: Tensor = torch.zeros_like(target) + args[1]
        return filled
    if name == "copy":
        return _fitted(args[1], target)
    packet = getattr(aten, name, None)
    if packet is None:
        raise CaptureError(f"{func} has no form that is not in place")
    result: Tensor = packet(*args, **kwargs)
    return result if op_name(func) in _CHANGES_SHAPE else _fitted(result, target)


def _fitted(value: Tensor, target: Tensor) -> Tensor:
    """The value as ``target`` can hold it, without a call where it is so already."""
    value = value.to(target.dtype)
    return value if value.shape == target.shape else value.expand(target.shape)


class _Exits(TorchFunctionMode):
    """Refuses to hand over values computed from the input: what numpy made of them would be constant."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Look at calls that leave torch, pass all others on."""
        if func in _LEAVES_TORCH and self._recorder.ref(args[0]) is not None:
            self._recorder.refuse_reading(f"Tensor.{func.__name__}")
        if func in _BUILDS_FROM_NUMBERS and not isinstance(args[0], Tensor):
            listed = any(self._recorder.ref(value) is not None for value in tensors_in(args[0]))
            if listed:
                self._recorder.refuse_reading(f"torch.{func.__name__} of a list; torch.stack takes tensors")
        return func(*args, **(kwargs or {}))


def _source_line() -> str:
    """``file:line`` of the innermost frame of the model's own code; "" where all of it is torch's."""
    frame: FrameType | None = sys._getframe(1)
    callers = (record_model.__code__, record_function.__code__)
    while frame is not None and frame.f_code not in callers:
        if _of_the_model(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _innermost(traceback: TracebackType | None) -> str:
    """The same for an exception that has left those frames."""
    place = ""
    while traceback is not None:
        if _of_the_model(traceback.tb_frame):
            place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _of_the_model(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith(_OWN_FOLDERS) and not file.startswith("<")


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record what runs inside; fused inference kernels, which hide what is in them, are off."""
    with _RECORDING, ExitStack() as stack:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        for handle in (
            register_module_forward_pre_hook(recorder.entered),
            register_module_forward_hook(recorder.left),
        ):
            stack.callback(handle.remove)
        stack.enter_context(torch.inference_mode(mode=False))  # snapshots made in it fit no gradient
        stack.enter_context(torch.no_grad())
        # Not torch.backends.mkldnn.flags: it warns about settings of other devices.
        stack.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
        torch._C._set_mkldnn_enabled(False)
        # Convolutions would go to it instead, and it keeps the hundreds of MiB that it works in.
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(enable_python_dispatcher())
        stack.enter_context(_Exits(recorder))
        stack.enter_context(recorder)
        try:
            yield
        except RuntimeError:
            if recorder.refusal is None:
                raise
            raise recorder.refusal from None


@contextmanager
def borrowed(model: nn.Module, dtype: torch.dtype | None, device: torch.device | None) -> Iterator[None]:
    """The user's model in eval mode and in another dtype or device, for as long as it is recorded.

    Everything is put back as it was, whatever happens. A copy would be simpler, but models with derived
    parameters (weight norm) refuse to be copied.
    """
    with _RECORDING:
        modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
        tensors = [*model.parameters(), *model.buffers()]
        data = [(tensor, tensor.data) for tensor in tensors]
        try:
            for module, mode in modes:
                if mode:
                    module.training = False
            for tensor, value in data:
                tensor.data = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            yield
        finally:
            for module, mode in modes:
                if module.training != mode:
                    module.training = mode
            for tensor, value in data:
                tensor.data = value


def record_model(model: nn.Module, example: Sequence[Tensor]) -> tuple[Graph, list[int], Any]:
    """Run ``model(*example)`` once and record it.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode, on the example's device.
    example : sequence of Tensor [K, ...]
        One batch for each input.

    Returns
    -------
    graph : Graph
        With one input node for each example.
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
    graph = Graph(device=example[0].device)
    recorder = Recorder(graph, model)
    inputs = [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in example]
    for tensor in inputs:
        ref = graph.add(None, (), None, tensor)
        graph.inputs.append(ref.index)
        recorder.bind(tensor, ref)
    with recording(recorder):
        result = _run(model, inputs, recorder)
    recognise(graph)
    graph.of_model = len(graph.nodes)
    outputs: list[int] = []

    def place(value: Any) -> Any:
        ref = recorder.ref(value) if isinstance(value, Tensor) else None
        if ref is None:
            return None
        outputs.append(ref.index)
        return len(outputs) - 1

    structure = tree_map(place, result)
    if not outputs:
        raise CaptureError(
            f"{type(model).__name__} returned {type(result).__name__} with no tensor that depends on its "
            "input: its forward must return a tensor, or a tuple, list or dict of tensors"
        )
    return graph, outputs, structure


def _run(model: nn.Module, inputs: Sequence[Tensor], recorder: Recorder) -> Any:
    try:
        return model(*inputs)
    except (DeepLiftError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if recorder.refusal is not None or "can't allocate memory" in str(error):
            raise
        raise recorder.failed(error, inputs) from error


def record_function(graph: Graph, at: int, example: Tensor, function: Callable[[Tensor], Any]) -> int:
    """Append ``function`` of the value of node ``at`` to the graph and return the result's node.

    Raises
    ------
    CaptureError
        If the result is not a tensor that depends on the value.
    """
    recorder = Recorder(graph)
    value = example.clone()
    recorder.bind(value, Ref(at))
    start = len(graph.nodes)
    with recording(recorder):
        result = function(value)
    recognise(graph, start)
    ref = recorder.ref(result) if isinstance(result, Tensor) else None
    if ref is None:
        raise CaptureError("the target function must return a tensor that depends on the output it is given")
    return ref.index
