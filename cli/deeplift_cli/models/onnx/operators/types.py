"""Types of tensors, and casts between them."""

import onnx
import torch
from onnx import NodeProto
from torch import Tensor

from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion, call, operator

# By the numbers of onnx.TensorProto; all floating-point types mean the module's own precision.
_WHOLE = {
    2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 12: torch.uint32, 13: torch.uint64,
}  # fmt: skip
_FLOATS = (1, 10, 11, 16)


def torch_type(number: int, floating: torch.dtype) -> torch.dtype:
    """Return the type with a number of ONNX's; any floating-point one is `floating`.

    Raises
    ------
    NotImplementedError
        For strings, complex numbers and types of few bits.
    """
    if number in _FLOATS:
        return floating
    if number not in _WHOLE:
        raise NotImplementedError(f"tensors of type {onnx.TensorProto.DataType.Name(number)}")
    return _WHOLE[number]


@operator("Cast")
def cast(node: NodeProto, graph: Graph) -> Conversion:  # noqa: ARG001
    """Change the type; floating-point types all mean the precision that the module computes in."""
    kind = torch_type(attributes(node)["to"], torch.float32)
    return (
        call(_to_module_type, node, attrs={})
        if kind.is_floating_point
        else call(_to, node, attrs={"kind": kind})
    )


def _to_module_type(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype)


def _to(x: Tensor, kind: torch.dtype) -> Tensor:
    return x.to(kind)


@operator("CastLike")
def cast_like(x: Tensor, like: Tensor, dtype: torch.dtype, saturate: int = 1, round_mode: str = "") -> Tensor:  # noqa: ARG001
    """Change the type to that of another tensor."""
    return x.to(dtype if like.is_floating_point() else like.dtype)
