"""Bad ONNX files, made here: what is wrong with each, and what its refusal says."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@dataclass
class Bad:
    """A file to write, and words that its refusal has."""

    name: str
    write: Callable[[Path], None]
    says: str


BAD: list[Bad] = []


def bad(says: str, **given: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function that returns a bad model, or writes one to the path that it is given."""

    def register(make: Callable[..., Any]) -> Callable[..., Any]:
        def write(path: Path) -> None:
            model = make(path, **given) if "path" in make.__code__.co_varnames else make(**given)
            if model is not None:
                path.write_bytes(model.SerializeToString())

        details = "-".join(map(str, given.values()))
        BAD.append(Bad(f"{make.__name__}-{details}".rstrip("-"), write, says))
        return make

    return register


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def value(name: str, shape: Any, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[Any],
    constants: dict[str, np.ndarray] | None = None,
    shape: Any = ("n", 4, 12),
    kind: int = FLOAT,
    opset: int = 17,
    outputs: Any = None,
    functions: tuple[Any, ...] = (),
) -> onnx.ModelProto:
    """A model of x with the output y."""
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    outputs = [value("y", None)] if outputs is None else outputs
    graph = helper.make_graph(nodes, "g", [value("x", shape, kind)], outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *((helper.make_opsetid("f", 1),) if functions else ())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def node(op: str, inputs: str, output: str = "y", **attrs: Any) -> Any:
    name = f"the {op} of {output}"
    return helper.make_node(op, inputs.split(), output.split(), name=name, **attrs)


def small() -> onnx.ModelProto:
    """A convolution, a ReLU and a dense layer."""
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1]),
        node("Relu", "a", "b"),
        node("ReduceMax", "b", "c", axes=[2], keepdims=0),
        node("Gemm", "c v", "y"),
    ]
    return model(nodes, {"w": weights(3, 4, 3), "v": weights(3, 2)}, outputs=[value("y", ("n", 2))])


# ---- constants and values that would fill the memory

HUGE = 3_000_000_000


def with_huge(nodes: list[Any], constants: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    """The small model plus the sum of a huge value."""
    reduced = node("ReduceSum", "huge", "sum", keepdims=0)
    first = small()
    nodes = [*list(first.graph.node)[:-1], node("Gemm", "c v", "d"), *nodes, reduced, node("Add", "d sum")]
    return model(nodes, {"w": weights(3, 4, 3), "v": weights(3, 2), **constants}, opset=opset)


BOMBS = {
    "ConstantOfShape": ([node("ConstantOfShape", "s", "huge")], {"s": ints(HUGE)}),
    "Expand": ([node("Expand", "o s", "huge")], {"s": ints(3, 10**9), "o": weights(1)}),
    "Tile": ([node("Tile", "o s", "huge")], {"s": ints(HUGE), "o": weights(1)}),
    "Range": (
        [node("Range", "a0 b0 c0", "r"), node("Cast", "r", "huge", to=FLOAT)],
        {"a0": np.array(0), "b0": np.array(HUGE), "c0": np.array(1)},
    ),
    "Pad": ([node("Pad", "o s", "huge")], {"s": ints(0, HUGE), "o": weights(1)}),
    "OneHot": (
        [node("OneHot", "i depth z", "huge")],
        {"i": ints(1), "depth": np.array(HUGE), "z": np.float32([0, 1])},
    ),
    "EyeLike": (
        [node("ConstantOfShape", "s", "square"), node("EyeLike", "square", "huge")],
        {"s": ints(50000, 60000)},
    ),
    "MatMul": (
        [
            node("ConstantOfShape", "s", "column"),
            node("ConstantOfShape", "t", "row"),
            node("MatMul", "column row", "huge"),
        ],
        {"s": ints(60000, 1), "t": ints(1, 60000)},
    ),
    "outer sum": (
        [
            node("ConstantOfShape", "s", "column"),
            node("ConstantOfShape", "t", "row"),
            node("Add", "column row", "huge"),
        ],
        {"s": ints(60000, 1), "t": ints(1, 60000)},
    ),
    "Gather": (
        [
            node("ConstantOfShape", "s", "places"),
            node("Cast", "places", "p", to=INT64),
            node("Gather", "o p", "huge"),
        ],
        {"s": ints(40000, 40000, 2), "o": weights(3)},
    ),
    "of the input": ([node("Expand", "x s", "huge")], {"s": ints(10**8, 1, 4, 12)}),
    "Concat again and again": (
        [
            node("ConstantOfShape", "s", "c0"),
            *(helper.make_node("Concat", [f"c{i}"] * 8, [f"c{i + 1}"], axis=0) for i in range(9)),
            node("Identity", "c9", "huge"),
        ],
        {"s": ints(100)},
    ),
}
for _name in BOMBS:

    @bad("needs too much memory", bomb=_name)
    def bomb(bomb: str) -> onnx.ModelProto:
        return with_huge(*BOMBS[bomb])


@bad("needs too much memory")
def resize() -> onnx.ModelProto:
    large = helper.make_node("Resize", ["x", "", "f"], ["huge"], mode="nearest")
    nodes = [large, node("ReduceMax", "huge", "y", axes=[2], keepdims=0)]
    return model(nodes, {"f": np.float32([1, 1, 1e8])})


def with_shape(*shape: Any, kind: int = FLOAT) -> onnx.ModelProto:
    bomb = small()
    bomb.graph.input[0].CopyFrom(value("x", shape, kind))
    del bomb.graph.output[:]
    bomb.graph.output.append(value("y", None))
    return bomb


@bad("one batch of the declared 30,000,000 rows takes at least")
def rows() -> onnx.ModelProto:
    return with_shape(30_000_000, 4, 200)


@bad("needs too much memory")
def length() -> onnx.ModelProto:
    return with_shape("n", 4, 10**9)


for _size in (-3, 0, 2**40, -(2**40)):

    @bad("of input x is declared with the length", size=_size)
    def axis(size: int) -> onnx.ModelProto:
        return with_shape("n", 4, size)


@bad("is declared with the length 0")
def no_rows() -> onnx.ModelProto:
    return with_shape(0, 4, 200)


# ---- weights


@bad("weight w of")
def cut_weight() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].raw_data = broken.graph.initializer[0].raw_data[:-3]
    return broken


@bad("has the shape")
def negative_weight() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].dims[0] = -3
    return broken


@bad("weight w of")
def false_dims() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].dims[0] = 10**12
    return broken


@bad("weight w of")
def false_type() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].data_type = INT64
    return broken


@bad("is not a valid ONNX model")
def no_type() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].data_type = 0
    return broken


@bad("type 99")
def unknown_type() -> onnx.ModelProto:
    broken = small()
    broken.graph.initializer[0].data_type = 99
    return broken


@bad("is not a valid ONNX model")
def strings() -> onnx.ModelProto:
    broken = small()
    tensor = broken.graph.initializer[1]
    tensor.CopyFrom(helper.make_tensor("v", TensorProto.STRING, (3, 2), [b"a"] * 6))
    return broken


@bad("is not a valid ONNX model")
def integer_input() -> onnx.ModelProto:
    return with_shape("n", 4, 12, kind=INT64)


def external(path: Path, data: bytes | None = None, **entries: Any) -> onnx.ModelProto:
    """The small model with its first weights beside it."""
    outside = small()
    tensor = outside.graph.initializer[0]
    content = tensor.raw_data if data is None else data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": "weights.bin", **entries}.items():
        tensor.external_data.add(key=key, value=str(text))
    path.with_name("weights.bin").write_bytes(content)
    return outside


EXTERNAL = [
    ("has 10", {"data": b"\0" * 10, "length": 144}),
    ("has 10 bytes, but", {"data": b"\0" * 10}),
    ("has 140 bytes, but", {"offset": 4}),
    ("cut short", {"offset": 10**15, "length": 144}),
    ("cut short", {"length": 10**15}),
    ("has 100 bytes, but", {"length": 100}),
    ("is no number of bytes", {"offset": -1}),
    ("is no number of bytes", {"length": -144}),
    ("is no number of bytes", {"length": "9" * 5000}),
    ("is no number of bytes", {"offset": "4 kB"}),
    ("no name inside the model's folder", {"location": "../weights.bin"}),
    ("no name inside the model's folder", {"location": "/etc/passwd"}),
    ("no name inside the model's folder", {"location": ""}),
    ("does not exist", {"location": "others.bin"}),
    ("no plain file", {"location": "folder"}),
    ("no plain file", {"location": "pipe"}),
    ("is a link", {"location": "link"}),
    ("is a link", {"location": "linked/weights.bin"}),
]
for _place, (_says, _given) in enumerate(EXTERNAL):

    @bad(_says, place=_place)
    def beside(path: Path, place: int) -> onnx.ModelProto:
        folder = path.parent
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("weights.bin")
        (folder / "linked").symlink_to(".")
        return external(path, **EXTERNAL[place][1])


# ---- nodes


@bad("is not a valid ONNX model")
def cycle() -> onnx.ModelProto:
    return model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")])


@bad("is not a valid ONNX model")
def same_name_twice() -> onnx.ModelProto:
    return model([node("Relu", "x", "a"), node("Neg", "x", "a"), node("Relu", "a")])


@bad("is not a valid ONNX model")
def missing_input() -> onnx.ModelProto:
    return model([node("Add", "x nowhere")])


@bad("is not a valid ONNX model")
def missing_output() -> onnx.ModelProto:
    return model([node("Relu", "x", "a")], outputs=[value("y", ("n", 4, 12))])


@bad("is not a valid ONNX model")
def too_few_inputs() -> onnx.ModelProto:
    return model([node("Conv", "x")])


@bad("is not a valid ONNX model")
def too_many_inputs() -> onnx.ModelProto:
    return model([node("Relu", "x x x")])


@bad("has no graph")
def no_nodes() -> onnx.ModelProto:
    return model([])


@bad("has no graph")
def no_outputs() -> onnx.ModelProto:
    return model([node("Relu", "x")], outputs=[])


@bad("is not a valid ONNX model")
def no_operator() -> onnx.ModelProto:
    broken = model([node("Relu", "x")])
    broken.graph.node[0].op_type = ""
    return broken


@bad("is not a valid ONNX model")
def no_operator_set() -> onnx.ModelProto:
    broken = model([node("Relu", "x")])
    del broken.opset_import[:]
    return broken


@bad("is not a valid ONNX model")
def no_format_version() -> onnx.ModelProto:
    broken = model([node("Relu", "x")])
    broken.ClearField("ir_version")
    return broken


@bad("Nonsense")
def unknown_operator() -> onnx.ModelProto:
    return model([node("Nonsense", "x")])


@bad("f.Nonsense")
def unknown_domain() -> onnx.ModelProto:
    broken = model([helper.make_node("Nonsense", ["x"], ["y"], domain="f")])
    broken.opset_import.append(helper.make_opsetid("f", 1))
    return broken


@bad("is no tensor")
def sequence_output() -> onnx.ModelProto:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return model([node("SequenceConstruct", "x")], outputs=[helper.make_value_info("y", kind)])


ATTRIBUTES = {
    "text for a number": ("Softmax", "x", {"axis": "first"}),
    "number for numbers": ("Transpose", "x", {"perm": 1}),
    "missing": ("Cast", "x", {}),
    "no permutation": ("Transpose", "x", {"perm": [0, 0, 7]}),
    "no axis": ("Softmax", "x", {"axis": 12}),
    "no type": ("Cast", "x", {"to": 77}),
    "stride 0": ("Conv", "x w", {"strides": [0]}),
    "dilation 0": ("Conv", "x w", {"dilations": [0]}),
    "negative stride": ("Conv", "x w", {"strides": [-1]}),
    "group 0": ("Conv", "x w", {"group": 0}),
    "kernel 0": ("MaxPool", "x", {"kernel_shape": [0]}),
    "kernel of another rank": ("MaxPool", "x", {"kernel_shape": [2, 2, 2]}),
    "pads of another rank": ("Conv", "x w", {"pads": [1]}),
    "no auto_pad": ("Conv", "x w", {"auto_pad": "PERHAPS"}),
    "unknown": ("Relu", "x", {"strength": 2}),
}
for _name in ATTRIBUTES:

    @bad("onnx", kind=_name)
    def attribute(kind: str) -> onnx.ModelProto:
        op, inputs, attrs = ATTRIBUTES[kind]
        return model([node(op, inputs, **attrs)], {"w": weights(3, 4, 3)})


@bad("is not a valid ONNX model")
def reference_outside_functions() -> onnx.ModelProto:
    broken = model([node("Softmax", "x", axis=1)])
    broken.graph.node[0].attribute[0].ref_attr_name = "axis"
    return broken


# ---- what grows when it is written out


def nested(op: str, depth: int) -> Any:
    inner = node("Relu", "x", "out0")
    for level in range(1, depth):
        before = value(f"out{level - 1}", ("n", 4, 12))
        body = helper.make_graph([inner], f"body{level}", [], [before])
        inner = node(op, "yes", f"out{level}", then_branch=body, else_branch=body)
    inner.output[0] = "y"
    return inner


def raw(field: int, content: bytes) -> bytes:
    """One field of a protobuf message that holds bytes."""
    size, digits = len(content), b""
    while size > 127:
        digits, size = digits + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + digits + bytes([size]) + content


@bad("")
def nested_500_deep(path: Path) -> None:
    """Bodies in bodies, written by hand: protobuf's own library refuses to."""
    body = raw(1, raw(1, b"x") + raw(2, b"y") + raw(4, b"Relu"))
    for _ in range(500):
        branch = raw(1, b"then_branch") + raw(6, body) + b"\xa0\x01\x05"
        body = raw(1, raw(1, b"x") + raw(2, b"y") + raw(4, b"If") + raw(5, branch))
    shape = small().graph
    declared = raw(11, shape.input[0].SerializeToString()) + raw(12, shape.output[0].SerializeToString())
    opset = raw(8, helper.make_opsetid("", 17).SerializeToString())
    path.write_bytes(b"\x08\x08" + raw(7, body + declared) + opset)


def function(name: str, nodes: list[Any]) -> Any:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["x"], ["y"], nodes, opsets)


def called(name: str, source: str = "x", result: str = "y") -> Any:
    return helper.make_node(name, [source], [result], domain="f")


@bad("function Again calls itself")
def function_that_calls_itself() -> onnx.ModelProto:
    return model([called("Again")], functions=(function("Again", [called("Again")]),))


@bad("calls itself")
def functions_that_call_each_other() -> onnx.ModelProto:
    functions = (function("One", [called("Two")]), function("Two", [called("One")]))
    return model([called("One")], functions=functions)


@bad("nodes; deeplift converts up to")
def functions_that_double() -> onnx.ModelProto:
    functions = [function("F0", [node("Relu", "x")])]
    for level in range(1, 40):
        twice = [called(f"F{level - 1}", "x", "a"), called(f"F{level - 1}", "a")]
        functions.append(function(f"F{level}", twice))
    return model([called("F39")], functions=tuple(functions))


def body(inside: list[Any], name: str = "i") -> Any:
    """The body of a loop over one value."""
    return helper.make_graph(
        inside,
        "body",
        [value(name, (), INT64), value(f"{name}go", (), TensorProto.BOOL), value(f"{name}in", None)],
        [value(f"{name}go2", (), TensorProto.BOOL), value(f"{name}out", None)],
    )


@bad("loops, written out")
def loops_in_loops() -> onnx.ModelProto:
    relu = helper.make_node("Relu", ["jin"], ["jout"])
    inner = body([helper.make_node("Identity", ["jgo"], ["jgo2"]), relu], "j")
    again = helper.make_node("Loop", ["m", "yes", "iin"], ["iout"], body=inner)
    outer = body([helper.make_node("Identity", ["igo"], ["igo2"]), again])
    nodes = [helper.make_node("Loop", ["m", "yes", "x"], ["y"], name="the Loop", body=outer)]
    return model(nodes, {"m": np.array(4000), "yes": np.array(True)})


@bad("Loop")
def endless_loop() -> onnx.ModelProto:
    inside = [helper.make_node("Identity", ["igo"], ["igo2"]), helper.make_node("Relu", ["iin"], ["iout"])]
    nodes = [helper.make_node("Loop", ["m", "yes", "x"], ["y"], name="the Loop", body=body(inside))]
    return model(nodes, {"m": np.array(2**62), "yes": np.array(True)})


@bad("onnx")
def shapes_that_double() -> onnx.ModelProto:
    """Concatenated shapes, whose values shape inference would follow."""
    nodes = [node("Shape", "x", "s0")]
    nodes += [helper.make_node("Concat", [f"s{i}"] * 2, [f"s{i + 1}"], axis=0) for i in range(36)]
    return model([*nodes, node("Expand", "x s36")])


# ---- bytes


@bad("")
def half_a_file(path: Path) -> None:
    content = small().SerializeToString()
    path.write_bytes(content[: len(content) // 2])


@bad("")
def noise(path: Path) -> None:
    path.write_bytes(b"\x08\x08\x12" + np.random.default_rng(1).bytes(4000))


@bad("")
def text(path: Path) -> None:
    path.write_text("ONNX\n" * 100)


@bad("")
def zeros(path: Path) -> None:
    path.write_bytes(b"\0" * 5000)
