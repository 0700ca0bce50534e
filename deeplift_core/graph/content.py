"""A key for what nodes compute: two target functions that make the same calls have the same key."""

from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from deeplift_core.graph.graph import Graph
from deeplift_core.graph.node import Ref


def content(graph: Graph, start: int) -> Any:
    """Return a key that is equal for two graphs whose nodes from ``start`` on are the same calls.

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
