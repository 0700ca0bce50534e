"""The recorded graph: a flat list of ATen calls, in the order in which the model ran them.

A graph is data only. Recording one is :mod:`deeplift_core.capture.recorder`; what each call means for
contributions is :mod:`deeplift_core.rules`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves


def op_name(op: Callable[..., Any]) -> str:
    """Name of an operation without its overload: ``convolution`` for ATen's, ``mylib::var`` for another's.

    The namespace is part of the name, so that an operation of the user's own is never taken for ATen's.
    """
    schema = getattr(op, "_schema", None)
    return str(schema.name).removeprefix("aten::") if schema else getattr(op, "__name__", str(op))


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
        Place in the graph; arguments only refer to smaller ones.
    op : callable or None
        What to call; None for an input of the model.
    args, kwargs
        Arguments: a :class:`Ref` for what depends on the input, constants as they were.
    shape, dtype
        Of the recorded value; of the first one where there are several.
    module : str
        Qualified name of the module whose ``forward`` made the call ("" for the model itself).
    source : str
        ``file:line`` of the innermost line of model code, for messages.
    """

    index: int
    op: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: torch.Size
    dtype: torch.dtype
    module: str
    source: str

    @property
    def op_name(self) -> str:
        """Name of the operation; "input" for an input of the model."""
        return "input" if self.op is None else op_name(self.op)

    @property
    def name(self) -> str:
        """Unique, readable name: the op and the place in the graph."""
        return f"{self.op_name}_{self.index}"

    @property
    def called(self) -> str:
        """The operation as messages name it: "aten.relu.default", even where another function computes it."""
        op = getattr(self.op, "stands_for", self.op)
        return str(op) if isinstance(op, OpOverload) else self.op_name

    def describe(self) -> str:
        """Op, module and source line, as error messages show them."""
        where = f"module {self.module!r}" if self.module else "the model's own forward"
        return f"{self.called} in {where}" + (f" ({self.source})" if self.source else "")

    @cached_property
    def refs(self) -> tuple[int, ...]:
        """Indices of the nodes that the arguments refer to, in order of appearance, once each."""
        return refs_in((self.args, tuple(self.kwargs.values())))


def refs_in(value: Any) -> tuple[int, ...]:
    """Indices of the nodes that a nested argument refers to, in order of appearance, once each."""
    return tuple(dict.fromkeys(ref.index for ref in _find_refs(value)))


def _find_refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _find_refs(item)


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in a nested value, in order."""
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
    if node.op is None:
        raise AssertionError(f"{node.name} is an input and has nothing to run")
    args = substitute(node.args, lookup)
    kwargs = {key: substitute(value, lookup) for key, value in node.kwargs.items()}
    return node.op(*args, **kwargs)


def converted(value: Any, dtype: torch.dtype) -> Any:
    """Give floating tensors and dtypes in nested arguments another precision."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(dtype)
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return dtype
    if isinstance(value, (tuple, list)):
        return type(value)(converted(item, dtype) for item in value)
    return value


def converted_node(node: Node, dtype: torch.dtype) -> Node:
    """The same call in another precision."""
    args, values = converted(node.args, dtype), converted(tuple(node.kwargs.values()), dtype)
    kwargs = dict(zip(node.kwargs, values, strict=True))
    return replace(node, args=args, kwargs=kwargs, dtype=converted(node.dtype, dtype))


Value = Any  # a tensor, or a tuple of tensors for an op with several results


@dataclass
class Graph:
    """An append-only list of nodes; nodes for further targets are added behind the model's own."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    module_outputs: dict[str, int] = field(default_factory=dict)
    of_model: int | None = None  # how many nodes are the model's own; None while it is recorded
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    draws: list[str] = field(default_factory=list)  # calls that drew random numbers, each with its place

    @property
    def batch_size(self) -> int:
        """K, the number of rows of every input."""
        return self.nodes[self.inputs[0]].shape[0]

    def add(
        self,
        op: Callable[..., Any] | None,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None,
        example: Value,
        *,
        module: str = "",
        source: str = "",
    ) -> Ref:
        """Append a call whose recorded result is ``example`` and return a reference to it."""
        first = example if isinstance(example, Tensor) else next(v for v in example if isinstance(v, Tensor))
        node = Node(
            len(self.nodes), op, tuple(args), dict(kwargs or {}), first.shape, first.dtype, module, source
        )
        self.nodes.append(node)
        return Ref(node.index)

    def converted(self, dtype: torch.dtype) -> "Graph":
        """The same calls in another precision."""
        other = replace(self, nodes=list(self.nodes))
        other.convert(0, dtype)
        return other

    def convert(self, start: int, dtype: torch.dtype) -> None:
        """Give the nodes from ``start`` on another precision."""
        self.nodes[start:] = [converted_node(node, dtype) for node in self.nodes[start:]]

    @property
    def constants(self) -> list[Tensor]:
        """Every tensor among the arguments, weights above all, once each."""
        found = {id(t): t for node in self.nodes for t in tensors_in((node.args, node.kwargs))}
        return list(found.values())

    @cached_property
    def consumers(self) -> dict[int, list[Node]]:
        """The model's own nodes that read each node, targets' nodes left out."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes[: self.of_model]:
            for ref in node.refs:
                found.setdefault(ref, []).append(node)
        return found

    def ancestors(self, *indices: int) -> list[int]:
        """The nodes that ``indices`` depend on, themselves included, in graph order."""
        seen: set[int] = set()
        stack = list(indices)
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                stack.extend(self.nodes[index].refs)
        return sorted(seen)

    def run(self, inputs: Sequence[Tensor], wanted: Sequence[int], keep: Collection[int]) -> dict[int, Value]:
        """Forward values of the nodes in ``keep`` and ``wanted``.

        Only what these need is computed, and a value is let go as soon as nothing later reads it.
        """
        order = self.ancestors(*wanted)
        kept = set(keep) | set(wanted)
        last_use = {ref: index for index in order for ref in self.nodes[index].refs}
        values: dict[int, Value] = dict(zip(self.inputs, inputs, strict=True))
        for index in order:
            node = self.nodes[index]
            if node.op is not None:
                values[index] = call(node, values.__getitem__)
            for ref in node.refs:
                if last_use[ref] == index and ref not in kept:
                    del values[ref]
        return values


def content(graph: Graph, start: int) -> Any:
    """Return a key that is equal for two graphs whose nodes from ``start`` on compute the same.

    Tensors among the arguments are compared by their bytes.
    """
    return tuple(
        (str(node.op), _key(node.args), _key(tuple(node.kwargs.items())), node.shape, node.dtype)
        for node in graph.nodes[start:]
    )


def _key(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_key(item) for item in value)
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return tuple(value.shape), value.dtype, sha256(data).digest()
    return value if isinstance(value, Ref) else (type(value), repr(value))


def substitute_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply ``change`` to every argument in nested tuples and lists that is no :class:`Ref`."""
    if isinstance(value, (tuple, list)):
        return type(value)(substitute_tensors(item, change) for item in value)
    return value if isinstance(value, Ref) else change(value)
