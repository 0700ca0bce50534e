"""How much memory and work a node takes, estimated before either is taken.

A file of one kilobyte can ask for a constant of many gigabytes, or for a product of such constants. What is
worked out beforehand is therefore limited in all, and in relation to the size of the file's own constants.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TypeProto, defs, helper, numpy_helper, shape_inference

if TYPE_CHECKING:
    from deeplift_cli.models.onnx.graph import Graph

Array = npt.NDArray[Any]

# Bytes that constants may take in all: what masks, positions and unpacked weights of real models take.
_LEAST_BYTES = 512 << 20
_TIMES_THE_FILE = 8
# Elementary operations of numpy and of onnx's reference implementation: some ten seconds.
_WORK = 1 << 31
# A product of matrices takes less time for one of its operations, and an operator that the reference
# implementation has in Python's loops more.
_PRODUCTS = {"MatMul": 1 / 8, "Gemm": 1 / 8, "Einsum": 1 / 8}
_LOOPS = 16
# Inputs of at most so many elements can say how large a node's output is.
_TELLS_A_SIZE = 4096
# Operators whose output's size depends on the values, and is no larger than the input with its positions.
_NO_LARGER = {"Compress", "NonZero", "NonMaxSuppression", "Unique"}
# Operators that the reference implementation has in one call of numpy for all elements.
_PLAIN = {
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil",
    "Celu", "Clip", "Compress", "Concat", "ConstantOfShape", "Cos", "Cosh", "CumSum",
    "DequantizeLinear", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten",
    "Floor", "Gather", "GatherElements", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
    "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax",
    "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pad",
    "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Round", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin",
    "Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """What evaluating one node takes."""

    bytes: int
    work: float


@dataclass
class Room:
    """What may still be worked out beforehand.

    Attributes
    ----------
    bytes : int
        That constants may still take.
    work : float
        Elementary operations.
    """

    bytes: int = _LEAST_BYTES
    work: float = _WORK

    @classmethod
    def for_constants(cls, constants: Iterable[Array]) -> "Room":
        """Return what there is for a file with these constants."""
        return cls(max(_LEAST_BYTES, _TIMES_THE_FILE * sum(value.nbytes for value in constants)))

    def take(self, estimate: Estimate | None) -> bool:
        """Take what a node needs, and return True; or return False where that is too much or not known."""
        if estimate is None or estimate.bytes > self.bytes or estimate.work > self.work:
            return False
        self.bytes -= estimate.bytes
        self.work -= estimate.work
        return True


def estimate(node: NodeProto, inputs: Mapping[str, Array], opset: int) -> Estimate | None:
    """Estimate what evaluating a node on constants takes, by ONNX's shape inference for this one node.

    Parameters
    ----------
    node : onnx.NodeProto
    inputs : mapping of str to array
        The value of each input by its name.
    opset : int

    Returns
    -------
    Estimate or None
        The value is None where the size of an output cannot be told beforehand.
    """
    outputs = _output_types(node, inputs, opset)
    largest = max((value.size for value in inputs.values()), default=0)
    if outputs is None:
        return None
    count = size = 0
    for kind in outputs:
        tensor = kind.tensor_type
        elements = _elements(tensor)
        if elements is None and node.op_type in _NO_LARGER:
            elements = largest * max((value.ndim for value in inputs.values()), default=1)
        if elements is None:
            return None
        count += elements
        size += elements * item_bytes(tensor.elem_type)
    return Estimate(size, _work(node, inputs, count, largest))


def _output_types(node: NodeProto, inputs: Mapping[str, Array], opset: int) -> list[TypeProto] | None:
    types, data = {}, {}
    for name, value in inputs.items():
        number = helper.np_dtype_to_tensor_dtype(value.dtype)
        types[name] = helper.make_tensor_type_proto(number, value.shape)
        if value.size <= _TELLS_A_SIZE:
            data[name] = numpy_helper.from_array(value, name)
    try:
        schema = defs.get_schema(node.op_type, max_inclusive_version=opset)
        opsets = [helper.make_opsetid("", opset)]
        found = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=opsets)
    except (defs.SchemaError, shape_inference.InferenceError, RuntimeError, ValueError):
        return None  # the node is left for the conversion, which refuses what is wrong with it
    return [found[name] for name in node.output] if all(name in found for name in node.output) else None


def _elements(tensor: TypeProto.Tensor) -> int | None:
    if not tensor.HasField("shape"):
        return None
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return None if any(size < 0 for size in sizes) else math.prod(sizes)


def _work(node: NodeProto, inputs: Mapping[str, Array], count: int, largest: int) -> float:
    touched = count + sum(value.size for value in inputs.values())
    if node.op_type in _PLAIN:
        return touched
    if node.op_type == "Einsum":
        # At most every element of the one with every element of the other.
        return math.prod(max(value.size, 1) for value in inputs.values()) * _PRODUCTS["Einsum"]
    if node.op_type in _PRODUCTS:
        summed = max((max(value.shape, default=1) for value in inputs.values()), default=1)
        return touched + count * summed * _PRODUCTS[node.op_type]
    return touched + float(max(count, 1)) * max(largest, 1) * _LOOPS


def item_bytes(number: int) -> int:
    """Return the bytes that one element of an ONNX type takes as a tensor; 4 where it is not known."""
    try:
        return int(np.dtype(helper.tensor_dtype_to_np_dtype(number)).itemsize)
    except (KeyError, TypeError):
        return 4


def largest_batch(graph: "Graph", rows: int) -> tuple[int, str]:
    """Estimate the memory that one run of a graph takes: its values that are alive at one time.

    Axes whose length is not known count as 1, apart from that of the batch.

    Parameters
    ----------
    graph : Graph
    rows : int
        The size of the batch where the file leaves the size open.

    Returns
    -------
    bytes : int
    node : str
        The node at which that many bytes are alive.
    """
    last_use = {name: place for place, node in enumerate(graph.nodes) for name in node.input}
    for value in graph.outputs:
        last_use[value.name] = len(graph.nodes)
    dying: dict[int, list[str]] = {}
    for name, place in last_use.items():
        dying.setdefault(place, []).append(name)
    sizes = {value.name: _value_bytes(graph, value.name, rows) for value in graph.inputs}
    alive = sum(sizes.values())
    worst = alive, f"input {graph.inputs[0].name}" if graph.inputs else "input"
    for place, node in enumerate(graph.nodes):
        for name in node.output:
            if name:
                sizes[name] = 0 if node.op_type in _VIEWS else _value_bytes(graph, name, rows)
                alive += sizes[name]
        if alive > worst[0]:
            worst = alive, f"node {node.name} ({node.op_type})"
        for name in (*dying.get(place, ()), *(name for name in node.output if name not in last_use)):
            alive -= sizes.pop(name, 0)
    return worst


# Their outputs lie in the memory of their inputs.
_VIEWS = {"Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}


def _value_bytes(graph: "Graph", name: str, rows: int) -> int:
    shape = graph.shape(name)
    if shape is None or name in graph.constants:
        return 0
    number = graph.infos[name].type.tensor_type.elem_type
    size = 4 if number in _FLOATS else item_bytes(number)
    sizes = [(rows if axis == 0 else 1) if length is None else length for axis, length in enumerate(shape)]
    return size * math.prod(max(length, 0) for length in sizes)


# All floating-point numbers are float32 in the converted module.
_FLOATS = {
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
}
