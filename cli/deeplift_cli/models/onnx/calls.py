"""Operators that are one function of tensors each: their registry, and the module that calls one.

A new operator is one function in a module of `functions`, under `call` with its name. It gets all inputs in
ONNX's order (None where one is left out) and the attributes by name, those with no default in ONNX as
required ones. It may also ask for `opset` (the operator set of the file), `dtype` (the floating-point type
that the module computes in) and `outputs` (how many outputs the node has).
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

Function = Callable[..., Any]
PREFIX = "Call"
_FUNCTIONS: dict[str, Function] = {}


def call(*op_types: str) -> Callable[[Function], Function]:
    """Register a function as the meaning of these operators."""

    def register(function: Function) -> Function:
        _FUNCTIONS.update(dict.fromkeys(op_types, function))
        return function

    return register


@cache
def functions() -> dict[str, Function]:
    """Return the function of each operator that has one."""
    package = importlib.import_module("deeplift_cli.models.onnx.functions")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _FUNCTIONS


def _parameters(function: Function) -> Collection[str]:
    try:
        return inspect.signature(function).parameters
    except ValueError:  # torch's own functions have no signature; those used here take tensors alone
        return ()


class Call(nn.Module):
    """One operator: calls its function."""

    def __init__(
        self, op_type: str, attrs: dict[str, Any], given: Sequence[bool], opset: int, outputs: int
    ) -> None:
        super().__init__()
        self.op_type, self.given, self.outputs = op_type, tuple(given), outputs
        self.function = functions()[op_type]
        parameters = _parameters(self.function)
        told = {"opset": opset, "outputs": outputs}
        self.attrs = {**attrs, **{name: value for name, value in told.items() if name in parameters}}
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
