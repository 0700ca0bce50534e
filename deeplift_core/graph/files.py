"""A graph in a file of tensors, numbers and strings only, so that reading the file runs no code."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pickle import UnpicklingError
from typing import Any

import torch
import torch._prims  # registers operations that recordings contain
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.errors import OptionError
from deeplift_core.graph.node import Node, Ref

_FORMAT = "deeplift graph 1"
_PLAIN = (int, float, str, bool, type(None), Tensor)
_NAMED = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}

Fields = tuple[
    tuple[Node, ...],
    tuple[int, ...],
    int,
    torch.device,
    dict[str, tuple[tuple[int | None, ...], ...]],
    tuple[str, ...],
]


def save_fields(
    path: str | PathLike[str],
    nodes: Sequence[Node],
    inputs: Sequence[int],
    of_model: int,
    device: torch.device,
    module_calls: Mapping[str, Sequence[Sequence[int | None]]],
    draws: Sequence[str],
) -> None:
    """Write the fields of a graph; see :meth:`deeplift_core.graph.Graph.save`."""
    content = {
        "format": _FORMAT,
        "nodes": [_encoded_node(node) for node in nodes],
        "inputs": list(inputs),
        "of_model": of_model,
        "device": str(device),
        "module_calls": {name: [list(one) for one in calls] for name, calls in module_calls.items()},
        "draws": list(draws),
    }
    torch.save(content, path)


def loaded_fields(path: str | PathLike[str]) -> Fields:
    """Read the fields of a graph; see :meth:`deeplift_core.graph.Graph.load`."""
    try:
        content = torch.load(path, weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise OptionError(f"{fspath(path)} cannot be read as a graph: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise OptionError(f"{fspath(path)} holds no graph that this version reads")
    names = {node["op"] for node in content["nodes"]} - {None}
    ops = {name: _registered(name) for name in names}
    unknown = sorted(name for name, op in ops.items() if op is None)
    if unknown:
        raise OptionError(
            f"{fspath(path)} holds operations that are not registered: {', '.join(unknown)}; import the "
            "package that registers them first"
        )
    nodes = tuple(_decoded_node(index, node, ops) for index, node in enumerate(content["nodes"]))
    calls = {name: tuple(tuple(one) for one in found) for name, found in content["module_calls"].items()}
    device = torch.device(content["device"])
    return nodes, tuple(content["inputs"]), content["of_model"], device, calls, tuple(content["draws"])


def _encoded_node(node: Node) -> dict[str, Any]:
    if node.op is not None and not isinstance(node.op, OpOverload):
        raise OptionError(f"{node.name} is computed by a Python function, which no file can hold")
    return {
        "op": None if node.op is None else _qualified(node.op),
        "args": _encoded(node.args),
        "kwargs": {key: _encoded(value) for key, value in node.kwargs.items()},
        "shape": list(node.shape),
        "dtype": _encoded(node.dtype),
        "module": node.module,
        "source": node.source,
        "results": [
            None if found is None else [list(found[0]), _encoded(found[1])] for found in node.results
        ],
    }


def _decoded_node(index: int, content: dict[str, Any], ops: Mapping[str, Any]) -> Node:
    results = tuple(
        None if found is None else (torch.Size(found[0]), _decoded(found[1])) for found in content["results"]
    )
    return Node(
        index,
        None if content["op"] is None else ops[content["op"]],
        _decoded(content["args"]),
        {key: _decoded(value) for key, value in content["kwargs"].items()},
        torch.Size(content["shape"]),
        _decoded(content["dtype"]),
        content["module"],
        content["source"],
        results,
    )


def _encoded(value: Any) -> Any:
    """Return numbers, strings and tensors as they are, any other value as a list of kind and content."""
    if isinstance(value, Ref):
        return ["ref", value.index]
    if isinstance(value, tuple):
        return ["tuple", [_encoded(item) for item in value]]
    if isinstance(value, list):
        return ["list", [_encoded(item) for item in value]]
    if isinstance(value, torch.device):
        return ["device", str(value)]
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    for kind, cls in _NAMED.items():
        if isinstance(value, cls):
            return [kind, str(value).removeprefix("torch.")]
    if type(value) in _PLAIN:
        return value
    raise OptionError(f"an argument of type {type(value).__name__} cannot be written to a file")


def _decoded(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "ref":
        return Ref(content)
    if kind in ("tuple", "list"):
        items = [_decoded(item) for item in content]
        return tuple(items) if kind == "tuple" else items
    if kind == "device":
        return torch.device(content)
    if kind == "complex":
        return complex(*content)
    named = getattr(torch, content) if kind in _NAMED else None
    if not isinstance(named, tuple(_NAMED.values())):
        raise OptionError(f"the file holds an argument of an unknown kind: {kind} {content}")
    return named


def _qualified(op: OpOverload) -> str:
    schema = op._schema
    return f"{schema.name}.{schema.overload_name or 'default'}"


def _registered(name: str) -> Any:
    """Return the operation of a qualified name such as ``aten::sum.dim_IntList``; None if there is none."""
    space, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    try:
        found = getattr(getattr(getattr(torch.ops, space), packet), overload or "default")
    except (AttributeError, RuntimeError):
        return None
    return found if isinstance(found, OpOverload) else None
