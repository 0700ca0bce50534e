"""Damaged ONNX files, made at random: each gives one line about the file, or a module that runs."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_hostile import ints, model, node, small, value, weights

from deeplift_cli.errors import UserError
from deeplift_cli.models import ModelFile, read
from deeplift_cli.models.probing import outputs_of

ROWS = 2


def pooled() -> onnx.ModelProto:
    """Pools, a batch norm, padding, and a reshape by a constant."""
    nodes = [
        node("Pad", "x p", "a"),
        node("MaxPool", "a", "b", kernel_shape=[2], strides=[2]),
        node("BatchNormalization", "b s t m v", "c"),
        node("AveragePool", "c", "d", kernel_shape=[3], pads=[1, 1]),
        node("Reshape", "d shape", "e"),
        node("MatMul", "e w", "f"),
        node("Sigmoid", "f"),
    ]
    four = {name: np.abs(weights(4)) + 1 for name in "stmv"}
    constants = {"p": ints(0, 0, 1, 0, 0, 1), "shape": ints(0, -1), "w": weights(28, 2), **four}
    return model(nodes, constants, outputs=[value("y", ("n", 2))])


def shaped() -> onnx.ModelProto:
    """A shape that is worked out, a slice, a split, and a branch that is known beforehand."""
    branch = [helper.make_graph([node(op, "h", op)], op, [], [value(op, None)]) for op in ("Relu", "Tanh")]
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "rows", axis=0),
        node("Concat", "rows rest", "new", axis=0),
        node("Reshape", "x new", "flat"),
        node("Slice", "flat zero six one", "g"),
        node("Split", "g", "left right", axis=1),
        node("Mul", "left right", "h"),
        node("If", "yes", "y", then_branch=branch[0], else_branch=branch[1]),
    ]
    constants = {
        "zero": ints(0), "six": ints(6), "one": ints(1), "rest": ints(-1), "yes": np.array(True),
    }  # fmt: skip
    return model(nodes, constants, outputs=[value("y", ("n", 3))])


def recurrent() -> onnx.ModelProto:
    """A recurrent layer over positions."""
    nodes = [
        node("Transpose", "x", "a", perm=[2, 0, 1]),
        node("GRU", "a w r", "b last", hidden_size=3),
        node("Squeeze", "last zero", "y"),
    ]
    constants = {"w": weights(1, 9, 4), "r": weights(1, 9, 3), "zero": ints(0)}
    return model(nodes, constants, outputs=[value("y", ("n", 3))])


FILES = [make().SerializeToString() for make in (small, pooled, shaped, recurrent)]
OPERATORS = [
    "Relu", "Add", "Conv", "Concat", "ConstantOfShape", "Expand", "Gather", "If", "LSTM", "Loop", "MatMul",
    "OneHot", "Pad", "Range", "ReduceSum", "Reshape", "Resize", "Scan", "Shape", "Slice", "Split", "Tile",
    "Nonsense",
]  # fmt: skip
NUMBERS = st.sampled_from([-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 5, 2**31, 2**40, 2**63 - 1])


def one_of(data: st.DataObject, items: Any) -> Any:
    return items[data.draw(st.integers(0, len(items) - 1))]


def other_input(data: st.DataObject, graph: Any) -> None:
    changed = one_of(data, graph.node)
    names = [*(name for item in graph.node for name in (*item.input, *item.output)), "", "nowhere", "x"]
    if changed.input:
        changed.input[data.draw(st.integers(0, len(changed.input) - 1))] = one_of(data, names)


def other_operator(data: st.DataObject, graph: Any) -> None:
    one_of(data, graph.node).op_type = data.draw(st.sampled_from(OPERATORS))


def other_attribute(data: st.DataObject, graph: Any) -> None:
    given = [item for changed in graph.node for item in changed.attribute]
    if not given:
        return
    item = one_of(data, given)
    kind = data.draw(st.sampled_from(["i", "ints", "type", "name", "none"]))
    if kind == "i":
        item.i = data.draw(NUMBERS)
    elif kind == "ints":
        item.ints[:] = data.draw(st.lists(NUMBERS, max_size=7))
    elif kind == "type":
        item.type = data.draw(st.integers(0, 14))
    elif kind == "name":
        item.name = data.draw(st.sampled_from(["axis", "axes", "pads", "strides", "perm", "mode", "to"]))
    else:
        item.Clear()


def other_shape(data: st.DataObject, graph: Any) -> None:
    values = [*graph.input, *graph.output]
    dims = one_of(data, values).type.tensor_type.shape.dim
    if data.draw(st.booleans()) or not dims:
        dims.add().dim_value = data.draw(NUMBERS)
    else:
        one_of(data, dims).dim_value = data.draw(NUMBERS)


def other_type(data: st.DataObject, graph: Any) -> None:
    one_of(data, [*graph.input, *graph.output]).type.tensor_type.elem_type = data.draw(st.integers(0, 24))


def other_weight(data: st.DataObject, graph: Any) -> None:
    tensor = one_of(data, graph.initializer)
    kind = data.draw(st.sampled_from(["dims", "type", "bytes", "values"]))
    if kind == "dims":
        tensor.dims[:] = data.draw(st.lists(NUMBERS, max_size=4))
    elif kind == "type":
        tensor.data_type = data.draw(st.integers(0, 24))
    elif kind == "bytes":
        tensor.raw_data = tensor.raw_data[: data.draw(st.integers(0, len(tensor.raw_data)))]
    elif tensor.data_type == TensorProto.INT64:
        count = len(tensor.raw_data) // 8
        numbers = data.draw(st.lists(NUMBERS, min_size=count, max_size=count))
        tensor.raw_data = np.array(numbers, np.int64).tobytes()


def missing_node(data: st.DataObject, graph: Any) -> None:
    if len(graph.node) > 1:
        del graph.node[data.draw(st.integers(0, len(graph.node) - 1))]


def node_twice(data: st.DataObject, graph: Any) -> None:
    graph.node.add().CopyFrom(one_of(data, graph.node))


CHANGES: list[Callable[[st.DataObject, Any], None]] = [
    other_input,
    other_operator,
    other_attribute,
    other_shape,
    other_type,
    other_weight,
    missing_node,
    node_twice,
]


def with_bytes_changed(data: st.DataObject) -> bytes:
    content = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 1]))])


def with_parts_changed(data: st.DataObject) -> bytes:
    changed = onnx.ModelProto.FromString(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(CHANGES))(data, changed.graph)
    if data.draw(st.integers(0, 9)) == 0:
        changed.opset_import[0].version = data.draw(st.integers(1, 30))
    return changed.SerializeToString()


def told_or_read(path: Path) -> ModelFile | str:
    try:
        return read(path)
    except UserError as error:
        return str(error)


def is_told_or_works(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        found = told_or_read(path)
        if isinstance(found, str):
            assert str(path) in found
            assert found.isprintable()
            return
    shapes = [
        [size or (ROWS if axis == 0 else 12) for axis, size in enumerate(spec.shape or ())]
        for spec in found.inputs
    ]
    if len(shapes) == 1 and torch.Size(shapes[0]).numel() < 1 << 20:
        outputs_of(found.module, torch.rand(shapes[0]))


def fuzz(make: Callable[[st.DataObject], bytes], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def one(data: st.DataObject) -> None:
        is_told_or_works(make(data))

    one()


@pytest.mark.parametrize("content", FILES, ids=["small", "pooled", "shaped", "recurrent"])
def test_the_files_themselves_convert(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    found = read(path)
    assert found.batch_size is None
    assert not isinstance(outputs_of(found.module, torch.rand(3, 4, 12)), str)


@pytest.mark.parametrize("make", [with_bytes_changed, with_parts_changed])
def test_damaged_files(make: Callable[[st.DataObject], bytes]) -> None:
    fuzz(make, 100)


@pytest.mark.fuzz
@pytest.mark.parametrize("make", [with_bytes_changed, with_parts_changed])
def test_many_damaged_files(make: Callable[[st.DataObject], bytes]) -> None:
    fuzz(make, 10_000)
