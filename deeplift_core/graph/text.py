"""A graph as text, one line for each node."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph.node import Node, Ref

# A constant tensor with no more numbers than this is shown by value.
_FEW = 4


def lines(nodes: Sequence[Node]) -> Iterator[str]:
    """Yield one line for each node.

    For example ``relu_2: aten.relu.default(mm_1) -> float32[8, 3]  # 'body' net.py:7``.
    """
    for node in nodes:
        arguments = [_shown(value, nodes) for value in node.args]
        arguments += [f"{key}={_shown(value, nodes)}" for key, value in node.kwargs.items()]
        called = "input" if node.op is None else f"{node.called}({', '.join(arguments)})"
        found = [_kind(node.shape, node.dtype)]
        if node.results:
            found = ["None" if result is None else _kind(*result) for result in node.results]
        place = " ".join(part for part in (repr(node.module) if node.module else "", node.source) if part)
        yield f"{node.name}: {called} -> {', '.join(found)}" + (f"  # {place}" if place else "")


def _kind(shape: Sequence[int], dtype: torch.dtype) -> str:
    return f"{str(dtype).removeprefix('torch.')}{list(shape)}"


def _shown(value: Any, nodes: Sequence[Node]) -> str:
    if isinstance(value, Ref):
        return nodes[value.index].name
    if isinstance(value, Tensor):
        kind = _kind(value.shape, value.dtype)
        return f"{kind}={value.tolist()}" if value.numel() <= _FEW else kind
    if isinstance(value, (tuple, list)):
        inside = ", ".join(_shown(item, nodes) for item in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return str(value).removeprefix("torch.")
    return repr(str(value)) if isinstance(value, torch.device) else repr(value)
