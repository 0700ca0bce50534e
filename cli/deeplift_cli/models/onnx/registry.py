"""The registry of operators: one function under one decorator says what an operator of ONNX becomes.

    from deeplift_cli.models.onnx.registry import operator

    @operator("Gelu")
    def gelu(x: Tensor, approximate: str = "none") -> Tensor:
        return F.gelu(x, approximate=approximate)

The function is one of two kinds; the type of its first parameter tells which:

- A function of tensors is called whenever the model runs. It gets all inputs in ONNX's order (None where one
  is left out) and the attributes by name, those with no default in ONNX as required ones. It may also ask for
  `dtype` (the floating-point type that the module computes in) and `outputs` (how many outputs the node has).
- A function of a node, ``(node: NodeProto, graph: Graph)``, is called once, on conversion. It returns a
  `Conversion` (a module, such as one with weights, or `call` of a function of tensors), or a list of ONNX
  nodes to put in the node's place, which are converted in turn, or None where it does not know what to do
  with this node: onnx2torch converts the node then, if it can.

Both are written with functions of torch that DeepLIFT has rules for, work on any number of rows, and read no
values that depend on the model's input. Operators without a function are converted by onnx2torch, or by
ONNX's own definition of them; see `conversion`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import torch
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes

Function = TypeVar("Function", bound=Callable[..., Any])
_OPERATORS: dict[tuple[str, str], dict[int, "Operator"]] = {}


@dataclass(frozen=True)
class Conversion:
    """What one node becomes: a module, and the values that its `forward` takes, in order."""

    module: nn.Module
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Operator:
    """What an operator becomes.

    Attributes
    ----------
    function : callable
        A function of tensors, or of a node and its graph.
    written_out : bool
        Whether the function is called while constants and shapes are still being worked out, and returns
        nodes, whose constants and shapes are worked out in turn.
    """

    function: Callable[..., Any]
    written_out: bool

    def convert(self, node: NodeProto, graph: Graph) -> Conversion | list[NodeProto] | None:
        """Return what a node becomes; None where the operator's function does not know."""
        if not _takes_node(self.function):
            return call(self.function, node)
        result: Conversion | list[NodeProto] | None = self.function(node, graph)
        return result

    def write_out(self, node: NodeProto, graph: Graph) -> list[NodeProto] | None:
        """Return the nodes that a node is written out as; None where it is not written out.

        Raises
        ------
        TypeError
            Where the operator's function returns something else.
        """
        written = self.convert(node, graph) if self.written_out else None
        if isinstance(written, Conversion):
            raise TypeError(f"operator {node.op_type} is registered as written out, and becomes a module")
        return written


def operator(
    *op_types: str, domain: str = "", since: int = 1, written_out: bool = False
) -> Callable[[Function], Function]:
    """Register a function as what operators of these types become.

    Parameters
    ----------
    *op_types : str
    domain : str
        The operators' domain; by default ONNX's own.
    since : int
        The operator set from which on the function holds, up to the next that is registered, as in ONNX's
        own specification.
    written_out : bool
        See `Operator`.

    Raises
    ------
    ValueError
        Where an operator has a function for this operator set already.
    """

    def register(function: Function) -> Function:
        for op_type in op_types:
            versions = _OPERATORS.setdefault((domain, op_type), {})
            if since in versions:
                raise ValueError(f"operator {op_type} since {since} is registered already")
            versions[since] = Operator(function, written_out)
        return function

    return register


def find(node: NodeProto, graph: Graph) -> Operator | None:
    """Return what is registered for a node; None where nothing is."""
    return find_type(node.op_type, graph.version(node.domain), node.domain)


def find_type(op_type: str, version: int, domain: str = "") -> Operator | None:
    """Return what is registered for an operator in an operator set; None where nothing is."""
    load()
    versions = _OPERATORS.get((domain, op_type), {})
    since = max((number for number in versions if number <= version), default=None)
    return None if since is None else versions[since]


@cache
def load() -> None:
    """Import all modules of `operators`, which register what they have."""
    _import_all(importlib.import_module("deeplift_cli.models.onnx.operators"))


def _import_all(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        if found.ispkg:
            _import_all(module)


# ---- functions of tensors as modules


def call(
    function: Callable[..., Any],
    node: NodeProto,
    inputs: Iterable[str] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> Conversion:
    """Convert a node into calls of a function of tensors.

    Parameters
    ----------
    function : callable
    node : onnx.NodeProto
    inputs : iterable of str, optional
        The values that the function gets, "" for those that are left out; by default the node's inputs.
    attrs : mapping, optional
        Further arguments of the function; by default the node's attributes that are not empty.
    """
    names = list(node.input if inputs is None else inputs)
    if attrs is None:
        attrs = {name: value for name, value in attributes(node).items() if value != []}
    arguments = {name: value for name, value in attrs.items() if value is not None}
    module = Call(node.op_type, function, arguments, [bool(name) for name in names], len(node.output))
    return Conversion(module, tuple(name for name in names if name))


class Call(nn.Module):
    """One node: calls a function of tensors."""

    def __init__(
        self,
        op_type: str,
        function: Callable[..., Any],
        attrs: Mapping[str, Any],
        given: Iterable[bool],
        outputs: int,
    ) -> None:
        super().__init__()
        self.op_type, self.function = op_type, function
        self.given, self.outputs = tuple(given), outputs
        parameters = _parameters(function)
        self.attrs = {**attrs, "outputs": outputs} if "outputs" in parameters else dict(attrs)
        self.takes_dtype = "dtype" in parameters and "dtype" not in attrs
        self.register_buffer("like", torch.empty(0), persistent=False)  # `module.double()` changes its type
        self.like: Tensor

    def forward(self, *inputs: Tensor) -> Any:
        remaining = iter(inputs)
        arguments = [next(remaining) if given else None for given in self.given]
        attrs = {**self.attrs, "dtype": self.like.dtype} if self.takes_dtype else self.attrs
        result = self.function(*arguments, **attrs)
        if isinstance(result, tuple) and self.outputs == 1:
            return result[0]
        return result

    def extra_repr(self) -> str:
        return self.op_type


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except ValueError:  # torch's own functions have no signature; those used here take tensors alone
        return {}


def _takes_node(function: Callable[..., Any]) -> bool:
    first = next(iter(_parameters(function).values()), None)
    return first is not None and first.annotation is NodeProto
