"""The recorded graph: calls of ATen operations as immutable data."""

from deeplift_core.graph.constant_inputs import with_constants
from deeplift_core.graph.content import content
from deeplift_core.graph.graph import Graph
from deeplift_core.graph.layers import layer_node
from deeplift_core.graph.node import (
    Node,
    Ref,
    call,
    change_constants,
    converted,
    converted_node,
    refs_in,
    substitute,
    tensors_in,
)
from deeplift_core.graph.operations import op_name

__all__ = [
    "Graph",
    "Node",
    "Ref",
    "call",
    "change_constants",
    "content",
    "converted",
    "converted_node",
    "layer_node",
    "op_name",
    "refs_in",
    "substitute",
    "tensors_in",
    "with_constants",
]
