"""One call of a recorded graph, and functions that read or change its arguments."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from deeplift_core.graph.operations import RESULT, op_name

Value = Any  # a tensor, or a sequence of tensors for an operation with several results
Results = tuple[tuple[torch.Size, torch.dtype] | None, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of node ``index``, wherever an argument depends on the model's input."""

    index: int


@dataclass(frozen=True)
class Node:
    """One recorded call.

    Attributes
    ----------
    index : int
        Place in the graph; arguments refer to smaller places only.
    op : OpOverload or None
        The operation; None for an input of the model.
    args, kwargs
        Arguments: a :class:`Ref` for a value that depends on the input, and unchanged constants.
    shape, dtype
        Those of the recorded value; those of the first tensor where the operation has several results.
    module : str
        Qualified name of the module whose ``forward`` made the call ("" for the model itself).
    source : str
        ``file:line`` of the innermost line of model code, for messages.
    results : tuple of (shape, dtype) or None
        One entry for each result of an operation with several, None where a result is no tensor; empty
        for an operation that returns a single tensor.
    """

    index: int
    op: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: torch.Size
    dtype: torch.dtype
    module: str
    source: str
    results: Results = ()

    @cached_property
    def op_name(self) -> str:
        """Name of the operation without its overload; "input" for an input of the model."""
        return "input" if self.op is None else op_name(self.op)

    @property
    def name(self) -> str:
        """Unique, readable name: the operation and the place in the graph."""
        return f"{self.op_name}_{self.index}"

    @property
    def called(self) -> str:
        """The operation as messages name it, such as "aten.relu.default".

        Taking one of several results is "getitem".
        """
        if self.op is RESULT:
            return self.op_name
        return str(self.op) if isinstance(self.op, OpOverload) else self.op_name

    def describe(self) -> str:
        """Operation, module and source line, as error messages show them."""
        where = f"module {self.module!r}" if self.module else "the model's own forward"
        return f"{self.called} in {where}" + (f" ({self.source})" if self.source else "")

    @cached_property
    def refs(self) -> tuple[int, ...]:
        """Indices of the nodes that the arguments refer to, in order of appearance, without repetitions."""
        return refs_in((self.args, tuple(self.kwargs.values())))


def recorded_node(
    index: int,
    op: Callable[..., Any] | None,
    args: Sequence[Any],
    kwargs: dict[str, Any] | None,
    example: Value,
    *,
    module: str = "",
    source: str = "",
) -> Node:
    """Return a node whose recorded value is ``example``: a tensor, or a sequence with at least one tensor."""
    results: Results = ()
    first = example
    if not isinstance(example, Tensor):
        results = tuple((v.shape, v.dtype) if isinstance(v, Tensor) else None for v in example)
        first = next(value for value in example if isinstance(value, Tensor))
    return Node(index, op, tuple(args), dict(kwargs or {}), first.shape, first.dtype, module, source, results)


def refs_in(value: Any) -> tuple[int, ...]:
    """Return the nodes that a nested argument refers to, in order of appearance, without repetitions."""
    return tuple(dict.fromkeys(ref.index for ref in _find_refs(value)))


def _find_refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _find_refs(item)


def tensors_in(value: Any) -> list[Tensor]:
    """Return every tensor in a nested value, in order."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def substitute(value: Any, lookup: Callable[[int], Any]) -> Any:
    """Replace every :class:`Ref` in nested tuples and lists by ``lookup(index)``."""
    if isinstance(value, Ref):
        return lookup(value.index)
    if isinstance(value, (tuple, list)):
        return type(value)(substitute(item, lookup) for item in value)
    return value


def call(node: Node, lookup: Callable[[int], Any]) -> Any:
    """Run one node's operation on the values that ``lookup`` gives for its references."""
    if node.op is RESULT:
        # A call through the dispatcher, after each kernel with several results, would take longer than some
        # kernels do.
        values, place = node.args
        return lookup(values.index)[place]
    if node.op is None:
        raise AssertionError(f"{node.name} is an input and has nothing to run")
    args = substitute(node.args, lookup)
    kwargs = {key: substitute(value, lookup) for key, value in node.kwargs.items()}
    return node.op(*args, **kwargs)


def converted(value: Any, dtype: torch.dtype, known: dict[int, tuple[Tensor, Tensor]] | None = None) -> Any:
    """Give floating tensors and dtypes in nested arguments another precision.

    Parameters
    ----------
    value
        Arguments of a call, nested in tuples and lists.
    dtype : torch.dtype
        The new floating precision.
    known : dict, optional
        Tensors that were converted before, by their id, so that no tensor is converted twice.
    """
    if isinstance(value, Tensor) and value.is_floating_point():
        if known is None:
            return value.to(dtype)
        # The entry holds the tensor, so that no other tensor gets its id.
        return known.setdefault(id(value), (value, value.to(dtype)))[1]
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return dtype
    if isinstance(value, (tuple, list)):
        return type(value)(converted(item, dtype, known) for item in value)
    return value


def converted_node(
    node: Node, dtype: torch.dtype, known: dict[int, tuple[Tensor, Tensor]] | None = None
) -> Node:
    """Return the same call in another precision; ``known`` is that of :func:`converted`."""
    args, values = converted(node.args, dtype, known), converted(tuple(node.kwargs.values()), dtype, known)
    kwargs = dict(zip(node.kwargs, values, strict=True))
    results = tuple(
        None if found is None else (found[0], converted(found[1], dtype)) for found in node.results
    )
    return replace(node, args=args, kwargs=kwargs, dtype=converted(node.dtype, dtype), results=results)


def change_constants(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply ``change`` to every argument in nested tuples and lists that is no :class:`Ref`."""
    if isinstance(value, (tuple, list)):
        return type(value)(change_constants(item, change) for item in value)
    return value if isinstance(value, Ref) else change(value)
