"""Dense layers."""

import numpy as np
import torch
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Array, Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion, call, operator


@operator("Gemm")
def gemm(node: NodeProto, graph: Graph) -> Conversion:
    """A linear layer where weight and bias are constant, else a product of matrices."""
    attrs = attributes(node)
    weight, bias = graph.constant(node, 1), graph.constant(node, 2)
    has_row_bias = bias is not None and bias.ndim == 2 and bias.shape[0] != 1
    if weight is None or not graph.is_constant(node, 2) or attrs.get("transA", 0) or has_row_bias:
        return call(product, node)
    weight = (weight if attrs.get("transB", 0) else weight.T) * np.asarray(
        attrs.get("alpha", 1.0), weight.dtype
    )
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = _parameter(weight)
    if bias is not None:
        scaled = bias.reshape(-1) * np.asarray(attrs.get("beta", 1.0), bias.dtype)
        layer.bias = _parameter(np.broadcast_to(scaled, weight.shape[:1]))
    return Conversion(layer, (node.input[0],))


def _parameter(value: Array) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(value, dtype=np.float32, order="C")))


def product(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803
    transB: int = 0,  # noqa: N803
) -> Tensor:
    """alpha A B + beta C, A and B transposed or not."""
    y = (a.T if transA else a) @ (b.T if transB else b) * alpha
    return y if c is None else y + c * beta
