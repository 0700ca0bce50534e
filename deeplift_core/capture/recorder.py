"""The recorder: a dispatch mode that appends a model's calls to a graph.

A dispatch mode sees functional calls, tensor methods, reused modules, TorchScript and converted ONNX alike.
Calls that do not depend on the input are only executed, so that constants fold by themselves. Composite
operations are decomposed until each has a rule, and in-place writes are recorded as new values
(:mod:`deeplift_core.capture.inplace`).
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._C import DispatchKey
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._decomp import core_aten_decompositions
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from deeplift_core.advice import TOKENS
from deeplift_core.capture.functional import changes_shape, functional
from deeplift_core.capture.inplace import TensorTracker
from deeplift_core.capture.modules import RunningModules
from deeplift_core.capture.normal_forms import NORMAL_FORMS, WRITE_NOTHING
from deeplift_core.capture.places import source_line, source_of
from deeplift_core.capture.snapshots import Snapshots
from deeplift_core.errors import CaptureError, ForwardError
from deeplift_core.graph import Ref, op_name, tensors_in
from deeplift_core.graph.builder import GraphBuilder
from deeplift_core.graph.operations import RESULT
from deeplift_core.rules.elementwise import is_elementwise
from deeplift_core.rules.registry import registered, registered_by_another_package

aten = torch.ops.aten

# These hand a value computed from the input to Python, which may then take a branch that other sequences
# would not.
_READS_VALUES = {"is_nonzero", "_nnz"}
# Torch tags the calls that return a number, or a shape, that depends on the values.
_TAGS_OF_READING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# These are tagged as well, although what is computed from their results may be right for any values: an index
# may be a mask, whose picked elements return to their places, and only the shape of the residuals varies.
_RECORDED_NEVERTHELESS = {"index", "linalg_lstsq"}
# These read only the shape of their argument, so that their results are constant.
_READS_SHAPE = {
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "rand_like", "randn_like", "randint_like",
}  # fmt: skip
# These return memory as it is, with whatever numbers it holds.
_LEAVES_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class _Calls:
    """Appends calls to a graph; a call that was made before keeps its node.

    The recorder does not do so itself, because the tracker needs this function, and a cycle of recorder and
    tracker would hold copies of all weights until Python's garbage collector runs.
    """

    def __init__(self, builder: GraphBuilder, running: RunningModules) -> None:
        self._builder = builder
        self._running = running
        self._known: dict[Any, Ref] = {}

    def emit(
        self, op: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], example: Any
    ) -> Ref:
        """Return the node of a call; the same call by the same module a second time has the same node.

        Thus ``x[a]`` in ``where(x[a] > x[b], x[a], x[b])`` is one node, and the larger of two is recognised.
        """
        module = self._running.name
        key = (op, module, _identity(args), _identity(tuple(kwargs.items())))
        if key not in self._known:
            self._known[key] = self._builder.add(
                op, args, kwargs, example, module=module, source=source_line()
            )
        return self._known[key]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Appends to a graph every call that depends on a bound tensor.

    Parameters
    ----------
    builder : GraphBuilder
        The graph.
    snapshots : Snapshots
        Copies of constants.
    model : nn.Module, optional
        The model, for the names of its modules.
    """

    def __init__(self, builder: GraphBuilder, snapshots: Snapshots, model: nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._builder = builder
        self._snapshots = snapshots
        self._running = RunningModules(model)
        self._calls = _Calls(builder, self._running)
        self._thread = threading.get_ident()
        self._tracker = TensorTracker(self._calls.emit)
        self._decompositions = _decompositions()
        self.refusal: CaptureError | None = None
        self._raised = (0, "")  # id of an exception, and the module that raised the exception

    # Torch then passes operations that take functions (cond, while_loop) to this mode, too.
    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False. Torch's own answer, True, would import all of dynamo, which takes over a second."""
        return False

    # ---- tensors and nodes

    def bind(self, tensor: Tensor, ref: Ref) -> None:
        """Note that calls on ``tensor`` refer to this node from now on."""
        self._tracker.bind(tensor, ref)

    def ref(self, tensor: Tensor) -> Ref | None:
        """Return the node that holds ``tensor``'s value; None where the value is constant."""
        return self._tracker.lookup(tensor)

    def varies(self, tensor: Tensor) -> bool:
        """Return whether the value of ``tensor`` depends on the input."""
        # Every result that depends on the input is dense (see _record).
        if tensor.layout is not torch.strided:
            return False
        return self.ref(tensor) is not None

    # ---- modules

    def entered(self, module: nn.Module, _: Any) -> None:
        """Global forward pre-hook: note which module runs, unless another thread runs it."""
        if threading.get_ident() == self._thread:
            self._running.enter(module)

    def left(self, module: nn.Module, _: Any, output: Any) -> None:
        """Global forward hook: note which nodes are the module's output; None where it raised."""
        if threading.get_ident() != self._thread:
            return
        error = sys.exc_info()[1]
        if error is not None and id(error) != self._raised[0]:
            self._raised = id(error), self._running.name
        name = self._running.leave(module)
        if name is None:
            return
        leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        # Inside vmap, a module's output stands for a tensor of another shape, which is not the module's.
        refs = [None if is_functorch_wrapped_tensor(leaf) else self.ref(leaf) for leaf in leaves]
        if any(refs):
            nodes = tuple(None if ref is None else ref.index for ref in refs)
            self._builder.module_calls.setdefault(name, []).append(nodes)

    # ---- calls

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run calls on constants only, and record those that depend on the input."""
        kwargs = dict(kwargs or {})
        if isinstance(func, HigherOrderOperator):
            return self._run_eagerly(func, args, kwargs)
        varying = any(map(self.varies, tensors_in((args, kwargs))))
        name = op_name(func)
        writes = func._schema.is_mutable and name not in WRITE_NOTHING
        if writes and (varying or any(map(self._tracker.was_written, args[:1]))):
            return self._write(func, args, kwargs)
        if name in _LEAVES_UNWRITTEN:
            # The memory is filled with zeros, because random content of the memory could make NaN of what the
            # model writes there later.
            return func(*args, **kwargs).zero_()
        if torch.Tag.nondeterministic_seeded in func.tags:
            self._builder.draws.append(f"{func} in {self._where()}")
        if name == "embedding" and not _holds_indices(args[1]):
            self._refuse(f"{self._where()} looks up token ids in a table: {TOKENS}")
        if not varying or name in _READS_SHAPE:
            return func(*args, **kwargs)
        if name in _READS_VALUES or (
            name not in _RECORDED_NEVERTHELESS and not _TAGS_OF_READING.isdisjoint(func.tags)
        ):
            self.refuse_reading(str(func))
        if func is aten.as_strided.default:
            return self._tracker.bound_view(func(*args, **kwargs), args[0])
        if name in NORMAL_FORMS and not registered_by_another_package(func):
            with self:
                normal = NORMAL_FORMS[name](self.varies, func, *args, **kwargs)
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

    def _run_eagerly(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record the eager code of an operation that takes functions, such as cond and while_loop.

        A condition that depends on the input is refused where this code reads the condition's value.
        """
        eager = func.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
        if func is torch.ops.higher_order.cond:  # its own eager code refuses to run under a dispatch mode
            eager = _chosen_branch
        if eager is None:
            self._refuse(f"{self._where()} calls {func}, which cannot be recorded: call the function itself")
        with self:
            return eager(*args, **kwargs)

    def refuse_reading(self, call: str) -> NoReturn:
        """Refuse a call that takes values out of the recording.

        The error is kept as well, because TorchScript replaces an error by one of its own type.

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
        tensors = tensors_in((args, kwargs, output))
        if any(item.is_nested for item in tensors):
            self._refuse(
                f"{self._where()} computes with a nested tensor ({func}), which cannot be recorded: use a "
                "dense one with a mask"
            )
        if any(item.layout is not torch.strided for item in tensors):
            self._refuse(
                f"{self._where()} computes with a sparse tensor ({func}), or one in a layout of a library's "
                "own, which cannot be recorded: use a dense one (to_dense())"
            )
        if not any(isinstance(value, Tensor) for value in tree_flatten(output)[0]):
            return output
        # A later batch may have other strides than the example, for which a view would fail.
        op = aten.reshape.default if func in (aten.view.default, aten._unsafe_view.default) else func
        ref = self._calls.emit(op, self._arguments(func, args), self._symbolic(kwargs), output)
        self._tracker.allocated(output, (args, kwargs))
        if isinstance(output, Tensor):
            self.bind(output, ref)
        else:
            for position, value in enumerate(output):
                if isinstance(value, Tensor):
                    self.bind(value, self._calls.emit(RESULT, (ref, position), {}, value))
        return output

    def _arguments(self, func: OpOverload, args: Sequence[Any]) -> tuple[Any, ...]:
        """Return positional arguments in the form that the graph holds."""
        symbolic: tuple[Any, ...] = self._symbolic(tuple(args))
        if func is aten.view_as_complex.default:
            # A later batch may have other strides than the example, and this view needs dense pairs.
            return (self._calls.emit(aten.contiguous.default, symbolic, {}, args[0]),)
        if func is not aten.convolution.default or args[1].dim() != 3 or self.varies(args[1]):
            return symbolic
        return symbolic[0], self._snapshots.of(args[1], sequence_weight=True), *symbolic[2:]

    def _symbolic(self, value: Any) -> Any:
        """Replace tensors in arguments by references, or by snapshots where they are constant."""

        def convert(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            return self.ref(item) or self._snapshots.of(item)

        return tree_map(convert, value)

    def _write(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record the functional form of an in-place call, then write the result to the model's own tensor."""
        written = [
            argument
            for argument, declared in zip(args, func._schema.arguments, strict=False)
            if declared.alias_info is not None and declared.alias_info.is_write
        ]
        target = written[0] if len(written) == 1 else None
        if not isinstance(target, Tensor) or target is not args[0] or not func._schema.name.endswith("_"):
            raise CaptureError(
                f"{self._where()} writes to a tensor in a way that cannot be recorded ({func}): use an "
                "operation that returns a new tensor"
            )
        if changes_shape(func):
            with self:
                moved = self.ref(functional(func, args, kwargs))
            func(*args, **kwargs)
            self._tracker.bind(target, moved or self._snapshots.of(target))
            return target
        self._tracker.before_write(target)
        with self:
            value = functional(func, args, kwargs)
        ref = self.ref(value) or self._snapshots.of(value)
        target.copy_(value)
        self._tracker.after_write(target, ref)
        return target

    def failed(self, error: Exception, example: Sequence[Tensor]) -> ForwardError:
        """Return the error that reports the model's own exception."""
        shapes = " and ".join(str(list(tensor.shape)) for tensor in example)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        module = self._raised[1] if id(error) == self._raised[0] else self._running.name
        place = _place(module, source_of(error.__traceback__))
        return ForwardError(f"{place} failed on an input of shape {shapes}, {example[0].dtype}: {reason}")

    def _where(self) -> str:
        return _place(self._running.name, source_line())


def _place(module: str, source: str) -> str:
    return (f"module {module!r}" if module else "the model's forward") + (f" ({source})" if source else "")


def _chosen_branch(condition: Any, if_true: Any, if_false: Any, operands: Sequence[Any]) -> Any:
    return (if_true if condition else if_false)(*operands)


@cache
def _decompositions() -> Mapping[Any, Callable[..., Any]]:
    return core_aten_decompositions()


def _identity(value: Any) -> Any:
    """Return a key for arguments: for a tensor its id, which is unique as the graph holds the tensor."""
    if isinstance(value, (tuple, list)):
        return tuple(_identity(item) for item in value)
    if isinstance(value, Tensor):
        return id(value)
    return value if isinstance(value, Ref) else (type(value), repr(value))


def _holds_indices(value: Any) -> bool:
    return not (isinstance(value, Tensor) and value.is_floating_point())
