"""ONNX files."""

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from small_models import Net

from hostile.cases import LITTLE_MEMORY, Kind, of_model
from hostile.tidy import LENGTH, LETTERS, models

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m m.onnx -f in.fa -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
INSPECT = "inspect -m m.onnx"
FILE = r"m\.onnx"
FLOAT = TensorProto.FLOAT
ESTIMATE = r"\d ?[kMGT]i?B\b|\d+ (giga|mega)?bytes"


# ---- making them


@functools.cache
def weights() -> dict[str, np.ndarray]:
    """Those of `small_models.Net`, which net.pt has, too."""
    return {name: value.detach().numpy() for name, value in Net().state_dict().items()}


def net_nodes(source: str = "x", result: str = "y") -> list[Any]:
    """`small_models.Net` as nodes."""
    return [
        helper.make_node("Conv", [source, "conv.weight", "conv.bias"], ["c"], name="conv", kernel_shape=[5]),
        helper.make_node("Relu", ["c"], ["a"], name="first"),
        helper.make_node("Flatten", ["a"], ["f"], name="flatten", axis=1),
        helper.make_node("Gemm", ["f", "hidden.weight", "hidden.bias"], ["h"], name="hidden", transB=1),
        helper.make_node("Relu", ["h"], ["b"], name="second"),
        helper.make_node("Gemm", ["b", "last.weight", "last.bias"], [result], name="last", transB=1),
    ]


def info(name: str, shape: Sequence[Any] | None, dtype: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def model(
    nodes: Sequence[Any] | None = None,
    constants: dict[str, np.ndarray] | None = None,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    opset: int = 17,
    **rest: Any,
) -> Any:
    """A model proto of these nodes; by default `small_models.Net`."""
    values = {**(weights() if nodes is None or constants is None else {}), **(constants or {})}
    graph = helper.make_graph(
        list(net_nodes() if nodes is None else nodes),
        "g",
        list(inputs or [info("x", ["N", 4, LENGTH])]),
        list(outputs or [info("y", ["N", 2])]),
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **rest)


Maker = Callable[[], Any]


def file_of(make: Maker, name: str = "m.onnx") -> Callable[[Path], None]:
    """Write what `make` gives, bytes or a proto, when the case is run."""

    def write(folder: Path) -> None:
        made = make()
        (folder / name).write_bytes(made if isinstance(made, bytes) else made.SerializeToString())

    return write


def edited(edit: Callable[[Any], object], base: Maker = model) -> Callable[[Path], None]:
    """`small_models.Net` with something done to its proto."""

    def make() -> Any:
        proto = base()
        edit(proto)
        return proto

    return file_of(make)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    return helper.make_node(op, list(inputs), list(outputs), name=f"{op}_of_{outputs[0]}", **attributes)


def before_net(*nodes: Any, constants: dict[str, np.ndarray] | None = None, last: str = "z") -> Maker:
    """Nodes whose result `last` the net then takes."""
    return lambda: model([*nodes, *net_nodes(last)], {**weights(), **(constants or {})})


def behind_net(*nodes: Any, constants: dict[str, np.ndarray] | None = None, shape: Any = ("N", 2)) -> Maker:
    """Nodes that make y of the net's result r."""
    return lambda: model(
        [*net_nodes(result="r"), *nodes], {**weights(), **(constants or {})}, outputs=[info("y", shape)]
    )


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# ---- no ONNX


@functools.cache
def plain_bytes() -> bytes:
    return bytes(model().SerializeToString())


bad("empty", QUIET, FILE, "empty", files={"m.onnx": ""})
bad("text", QUIET, FILE, files={"m.onnx": "hello\n"})
bad("a web page", QUIET, FILE, files={"m.onnx": "<html>404</html>"})
bad(
    "a Git LFS pointer",
    QUIET,
    FILE,
    files={"m.onnx": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
)
bad("random bytes", QUIET, FILE, files={"m.onnx": bytes(range(255, -1, -1)) * 9})
bad("NUL bytes", QUIET, FILE, files={"m.onnx": bytes(9000)})
bad("the first two bytes", QUIET, FILE, files={"m.onnx": b"\x08\x08"})
bad("a length of 2 GB in the heading", QUIET, FILE, files={"m.onnx": b"\x08\x08\x3a\xff\xff\xff\xff\x07"})
bad("messages nested a thousand deep", QUIET, FILE, make=file_of(lambda: b"\x08\x08" + _nested(1000)))
for _part in (0.1, 0.5, 0.9, 0.999):
    bad(
        f"cut at {_part:.1%}",
        QUIET,
        FILE,
        "truncated|damaged|valid|cut",
        make=file_of(lambda part=_part: plain_bytes()[: int(len(plain_bytes()) * part)]),
    )
bad("letters behind it", QUIET, FILE, make=file_of(lambda: plain_bytes() + b"\xff" * 40))
bad("a folder of two models", of_model(QUIET, "."), "folder", files={"second.onnx": b"second"})
bad("a pipe", of_model(QUIET, "pipe"), "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("inspect a pipe", "inspect -m pipe", "pipe", make=lambda folder: os.mkfifo(folder / "pipe"))
bad("/dev/zero", of_model(QUIET, "/dev/zero"), "/dev/zero")
bad("/dev/null", of_model(QUIET, "/dev/null"), "/dev/null")
bad("missing", of_model(QUIET, "none.onnx"), r"none\.onnx", "does not exist")
bad("an empty name", ["score", "-m", "", "-f", "in.fa", "-o", "out.h5", "-q"], code=(1, 2))
bad(
    "Keras's HDF5",
    of_model(QUIET, "k.h5"),
    r"k\.h5",
    "damaged",
    files={"k.h5": b"\x89HDF\r\n\x1a\n" + bytes(500)},
)


def _nested(depth: int) -> bytes:
    """Graphs in attributes of nodes of graphs."""
    content = b""
    for _ in range(depth):
        attribute = b"\x32" + _varint(len(content)) + content  # AttributeProto.g
        inner = b"\x2a" + _varint(len(attribute)) + attribute  # NodeProto.attribute
        content = b"\x0a" + _varint(len(inner)) + inner  # GraphProto.node
    return b"\x3a" + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


# ---- what onnx's checker refuses, or should


def _first_weight(proto: Any) -> Any:
    return proto.graph.initializer[0]


def _set(**values: Any) -> Callable[[Any], None]:
    def edit(proto: Any) -> None:
        for name, value in values.items():
            setattr(_first_weight(proto), name, value)

    return edit


def _dims(*sizes: int) -> Callable[[Any], None]:
    return lambda proto: _first_weight(proto).dims.__setitem__(slice(None), sizes)


for _name, _edit in {
    "a weight with dims too large": _dims(6, 4, 500),
    "a weight with dims too small": _dims(6, 4, 2),
    "a weight with a dim below 0": _dims(6, 4, -5),
    "a weight with dims of 2**62": _dims(2**62, 2**62),
    "a weight with dims that wrap around": _dims(2**32, 2**32),
    "a weight with no dims": _dims(),
    "a weight with a dim of 0": _dims(0, 4, 5),
    "a weight of no type": _set(data_type=0),
    "a weight of type 99": _set(data_type=99),
    "a weight of strings": _set(data_type=TensorProto.STRING),
    "a weight of int64": _set(data_type=TensorProto.INT64),
    "a weight said to be double": _set(data_type=TensorProto.DOUBLE),
    "a weight cut short": lambda proto: setattr(
        _first_weight(proto), "raw_data", _first_weight(proto).raw_data[:-7]
    ),
    "a weight without data": lambda proto: _first_weight(proto).ClearField("raw_data"),
    "a weight with no name": _set(name=""),
    "a weight twice": lambda proto: proto.graph.initializer.append(_first_weight(proto)),
    "a node's input that nothing gives": lambda proto: proto.graph.node[1].input.__setitem__(0, "nowhere"),
    "two nodes that give one value": lambda proto: proto.graph.node[1].output.__setitem__(0, "c"),
    "nodes in a circle": lambda proto: proto.graph.node[0].input.__setitem__(0, "b"),
    "nodes out of order": lambda proto: _reverse(proto),
    "an output that nothing gives": lambda proto: setattr(proto.graph.output[0], "name", "nowhere"),
    "no output": lambda proto: proto.graph.ClearField("output"),
    "no node": lambda proto: proto.graph.ClearField("node"),
    "no input": lambda proto: proto.graph.ClearField("input"),
    "an unknown operator": lambda proto: setattr(proto.graph.node[1], "op_type", "Rellu"),
    "an operator of no name": lambda proto: setattr(proto.graph.node[1], "op_type", ""),
    "an operator of a domain that is not imported": lambda proto: setattr(
        proto.graph.node[1], "domain", "com.example"
    ),
    "an attribute that the operator has not": lambda proto: proto.graph.node[1].attribute.append(
        helper.make_attribute("slope", 0.1)
    ),
    "an attribute of another type": lambda proto: proto.graph.node[0].attribute.append(
        helper.make_attribute("strides", "two")
    ),
    "an attribute twice": lambda proto: proto.graph.node[0].attribute.append(
        helper.make_attribute("kernel_shape", [3])
    ),
    "too many inputs of a node": lambda proto: proto.graph.node[1].input.append("f"),
    "no input of a node": lambda proto: proto.graph.node[1].ClearField("input"),
    "no opset": lambda proto: proto.ClearField("opset_import"),
    "an opset of 0": lambda proto: setattr(proto.opset_import[0], "version", 0),
    "an opset below 0": lambda proto: setattr(proto.opset_import[0], "version", -1),
    "an opset of the year 2100": lambda proto: setattr(proto.opset_import[0], "version", 9999),
    "two opsets": lambda proto: proto.opset_import.append(helper.make_opsetid("", 9)),
    "an IR version of 2**40": lambda proto: setattr(proto, "ir_version", 2**40),
    "an input of integers": lambda proto: setattr(
        proto.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64
    ),
    "an input of strings": lambda proto: setattr(
        proto.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING
    ),
    "an input of type 99": lambda proto: setattr(proto.graph.input[0].type.tensor_type, "elem_type", 99),
    "an input of another length than its weights": lambda proto: setattr(
        proto.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 99
    ),
    "an input with a length below 0": lambda proto: setattr(
        proto.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", -24
    ),
    "an input of five axes": lambda proto: proto.graph.input[0].type.tensor_type.shape.dim.extend(
        [helper.make_tensor_type_proto(1, [2]).tensor_type.shape.dim[0]] * 2
    ),
    "an input that is a sequence": lambda proto: proto.graph.input[0].CopyFrom(
        helper.make_tensor_sequence_value_info("x", 1, None)
    ),
    "a shape between nodes that is false": lambda proto: proto.graph.value_info.append(
        info("c", ["N", 6, 999])
    ),
    "a type between nodes that is false": lambda proto: proto.graph.value_info.append(
        info("c", ["N", 6, 20], TensorProto.INT64)
    ),
    "a stride of 0": lambda proto: proto.graph.node[0].attribute.append(
        helper.make_attribute("strides", [0])
    ),
    "a dilation of 2**40": lambda proto: proto.graph.node[0].attribute.append(
        helper.make_attribute("dilations", [2**40])
    ),
    "a kernel of another size": lambda proto: proto.graph.node[0].attribute[0].ints.__setitem__(0, 9),
    "no kernel": lambda proto: proto.graph.node[0].attribute[0].ints.__setitem__(0, 0),
    "a padding below 0": lambda proto: proto.graph.node[0].attribute.append(
        helper.make_attribute("pads", [-9, -9])
    ),
    "groups of 0": lambda proto: proto.graph.node[0].attribute.append(helper.make_attribute("group", 0)),
    "a function that calls itself": lambda proto: _recursive(proto),
}.items():
    # onnx's checker takes these two; whoever refuses them does well.
    _codes = (0, 1) if _name in ("two opsets", "an attribute twice") else 1
    bad(_name, QUIET, FILE, code=_codes, make=edited(_edit))


def _reverse(proto: Any) -> None:
    nodes = list(proto.graph.node)[::-1]
    proto.graph.ClearField("node")
    proto.graph.node.extend(nodes)


def _recursive(proto: Any) -> None:
    inner = helper.make_node("Again", ["a"], ["b"], domain="own")
    proto.functions.append(
        helper.make_function("own", "Again", ["a"], ["b"], [inner], [helper.make_opsetid("own", 1)])
    )
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.graph.node[1].domain, proto.graph.node[1].op_type = "own", "Again"


# ---- weights in other files


def external(data: bytes | None, location: str = "m.data", **entries: int | str) -> Callable[[Path], None]:
    """The first weight's values in a file of its own."""

    def write(folder: Path) -> None:
        proto = model()
        tensor = _first_weight(proto)
        content = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        (folder / "m.onnx").write_bytes(proto.SerializeToString())
        if data is not None:
            (folder / location).write_bytes(content if data == b"all" else content[: len(data)])

    return write


def _beyond(folder: Path) -> None:
    external(None, "../outside")(folder)
    (folder.parent / "outside").write_bytes(weights()["conv.weight"].tobytes())


def _by_link(folder: Path) -> None:
    external(None)(folder)
    (folder / "m.data").symlink_to("/etc/passwd")


odd("weights beside it", SCORE, *LETTERS, make=external(b"all"))
bad(
    "weights beside it that are missing",
    QUIET,
    r"m\.data",
    "does not exist|missing|not found",
    make=external(None),
)
bad("weights beside it cut short", QUIET, r"m\.(data|onnx)", make=external(b"x" * 99))
bad("weights beside it that are empty", QUIET, r"m\.(data|onnx)", make=external(b""))
bad("weights beyond the file's end", QUIET, r"m\.(data|onnx)", make=external(b"all", offset=10**9))
bad("weights at an offset below 0", QUIET, r"m\.(data|onnx)", make=external(b"all", offset=-8))
bad(
    "weights of a length of 5,000 digits",
    QUIET,
    r"m\.(data|onnx)",
    make=external(b"all", length="9" * 5000),
)
bad("weights of a length of 1e12", QUIET, r"m\.(data|onnx)", make=external(b"all", length=10**12))
bad("weights outside the folder", QUIET, "outside", make=_beyond)
bad("weights in /etc/passwd", QUIET, "passwd|m.onnx", make=external(None, "/etc/passwd"))
bad("weights behind a link to /etc/passwd", QUIET, r"m\.(data|onnx)", make=_by_link)
bad(
    "weights in a pipe",
    QUIET,
    r"m\.(data|onnx)",
    make=lambda folder: (external(None)(folder), os.mkfifo(folder / "m.data")),
)
bad(
    "weights in a folder",
    QUIET,
    r"m\.(data|onnx)",
    make=lambda folder: (external(None)(folder), (folder / "m.data").mkdir()),
)
bad("weights in /dev/zero", QUIET, r"/dev/zero|m\.onnx", make=external(None, "/dev/zero"))
bad("weights in a file of no name", QUIET, FILE, make=external(None, ""))


# ---- bombs


def _bomb(op: str, *inputs: str, constants: dict[str, np.ndarray], **attributes: Any) -> Maker:
    """A huge constant, of which the mean is added to the output."""
    return behind_net(
        node(op, inputs, ["big"], **attributes),
        node("Cast", ["big"], ["as_float"], to=FLOAT),
        node("ReduceMean", ["as_float"], ["m"], keepdims=0),
        node("Add", ["r", "m"], ["y"]),
        constants=constants,
    )


_SIZE = {"s": integers(1 << 16, 1 << 15)}
for _name, _maker in {
    "ConstantOfShape of 8 GB": _bomb("ConstantOfShape", "s", constants=_SIZE),
    "ConstantOfShape of 2**62": _bomb("ConstantOfShape", "s", constants={"s": integers(1 << 62)}),
    "ConstantOfShape below 0": _bomb("ConstantOfShape", "s", constants={"s": integers(-5)}),
    "Expand to 8 GB": _bomb("Expand", "o", "s", constants={**_SIZE, "o": np.ones((1, 1), np.float32)}),
    "Tile to 8 GB": _bomb("Tile", "o", "s", constants={**_SIZE, "o": np.ones((1, 1), np.float32)}),
    "Range of 2 billion": _bomb(
        "Range",
        "a",
        "b",
        "c",
        constants={"a": np.array(0, np.int64), "b": np.array(1 << 31, np.int64), "c": np.array(1, np.int64)},
    ),
    "Pad to 8 GB": _bomb("Pad", "o", "s", constants={"s": integers(0, 1 << 31), "o": np.ones(1, np.float32)}),
    "OneHot of depth 2 billion": _bomb(
        "OneHot",
        "i",
        "d",
        "v",
        constants={"i": integers(0), "d": integers(1 << 31), "v": np.array([0, 1], np.float32)},
    ),
    "EyeLike of 8 GB": behind_net(
        node("ConstantOfShape", ["s"], ["z"]),
        node("EyeLike", ["z"], ["big"]),
        node("ReduceMean", ["big"], ["m"], keepdims=0),
        node("Add", ["r", "m"], ["y"]),
        constants={"s": integers(46000, 46000)},
    ),
    "Resize to 8 GB": _bomb(
        "Resize",
        "o",
        "",
        "k",
        constants={"o": np.ones((1, 1, 2), np.float32), "k": np.array([1, 1, 1e9], np.float32)},
    ),
    "RandomNormal of 8 GB": behind_net(
        node("RandomNormal", [], ["big"], shape=[1 << 31]),
        node("ReduceMean", ["big"], ["m"], keepdims=0),
        node("Add", ["r", "m"], ["y"]),
    ),
    "an outer product of 8 GB": behind_net(
        node("MatMul", ["u", "v"], ["big"]),
        node("ReduceMean", ["big"], ["m"], keepdims=0),
        node("Add", ["r", "m"], ["y"]),
        constants={"u": np.ones((46000, 1), np.float32), "v": np.ones((1, 46000), np.float32)},
    ),
    "a chain of doublings": behind_net(
        *(node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=0) for i in range(31)),
        node("ReduceMean", ["d31"], ["m"], keepdims=0),
        node("Add", ["r", "m"], ["y"]),
        constants={"d0": np.ones(1, np.float32)},
    ),
    "Expand of the input to 8 GB a row": behind_net(
        node("Unsqueeze", ["r", "last"], ["u"]),
        node("Expand", ["u", "s"], ["big"]),
        node("ReduceMean", ["big"], ["y"], axes=[2], keepdims=0),
        constants={"last": integers(2), "s": integers(1, 2, 1 << 30)},
    ),
    "a stack of 3 million ones": _bomb("ConstantOfShape", "s", constants={"s": np.ones(3_000_000, np.int64)}),
}.items():
    bad(_name, QUIET, FILE, make=file_of(_maker))
    bad(f"inspect: {_name}", INSPECT, FILE, make=file_of(_maker), long=True)
bad(
    "ConstantOfShape of 8 GB: its size is said",
    QUIET,
    FILE,
    ESTIMATE,
    "ConstantOfShape|Cast",  # both values are alive at the second
    make=file_of(_bomb("ConstantOfShape", "s", constants=_SIZE)),
)


def _declared_batch(rows: int) -> Maker:
    return lambda: model(inputs=[info("x", [rows, 4, LENGTH])], outputs=[info("y", [rows, 2])])


def _baked_batch(rows: int) -> Maker:
    """A batch size that a Reshape holds."""

    def make() -> Any:
        nodes = net_nodes()
        nodes[2] = node("Reshape", ["a", "to"], ["f"])
        return model(
            nodes,
            {**weights(), "to": integers(rows, 6 * (LENGTH - 4))},
            [info("x", [rows, 4, LENGTH])],
            [info("y", [rows, 2])],
        )

    return make


bad(
    "a declared batch of a million",
    QUIET,
    FILE,
    "memory",
    make=file_of(_declared_batch(1_000_000)),
    setting=LITTLE_MEMORY,
)
bad(
    "a baked-in batch of a million",
    QUIET,
    FILE,
    "memory",
    make=file_of(_baked_batch(1_000_000)),
    setting=LITTLE_MEMORY,
)
bad("a declared batch of 2**40", QUIET, FILE, code=(0, 1), make=file_of(_declared_batch(1 << 40)))
bad(
    "inspect: a declared batch of a million",
    INSPECT,
    code=(0, 1),
    make=file_of(_declared_batch(1_000_000)),
    setting=LITTLE_MEMORY,
)
bad(
    "a declared length of 2**40",
    QUIET,
    FILE,
    make=file_of(lambda: model(inputs=[info("x", ["N", 4, 1 << 40])])),
)


def _relus(count: int, op: str = "Relu") -> Maker:
    """A chain behind the first Relu, which changes nothing there."""

    def make() -> Any:
        chain = [helper.make_node(op, [f"v{i}" if i else "a"], [f"v{i + 1}"]) for i in range(count)]
        nodes = net_nodes()
        nodes[2] = node("Flatten", [f"v{count}"], ["f"], axis=1)
        return model([*nodes[:2], *chain, *nodes[2:]], weights())

    return make


odd("a chain of 1,000 Relu", SCORE, *LETTERS, make=file_of(_relus(1000)))
bad("a chain of 6,000 Relu", QUIET, FILE, code=(0, 1), make=file_of(_relus(6000)), long=True)
bad("inspect: a chain of 6,000 Relu", INSPECT, FILE, code=(0, 1), make=file_of(_relus(6000)), long=True)
odd("a chain of 3,000 Identity", SCORE, *LETTERS, make=file_of(_relus(3000, "Identity")), long=True)


def _loop(trips: int) -> Maker:
    def make() -> Any:
        body = helper.make_graph(
            [node("Identity", ["go"], ["on"]), node("Add", ["v", "one"], ["w"])],
            "body",
            [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("v", [])],
            [info("on", [], TensorProto.BOOL), info("w", [])],
            [numpy_helper.from_array(np.array(1, np.float32), "one")],
        )
        loop = node("Loop", ["n", "yes", "zero"], ["sum"], body=body)
        constants = {"n": np.array(trips, np.int64), "yes": np.array(True), "zero": np.array(0, np.float32)}
        return behind_net(
            loop, node("Mul", ["sum", "zero"], ["s"]), node("Add", ["r", "s"], ["y"]), constants=constants
        )()

    return make


bad("a loop of a billion turns", QUIET, FILE, make=file_of(_loop(10**9)))


# ---- models that no contribution can be given for


bad(
    "two inputs",
    QUIET,
    FILE,
    "input",
    make=file_of(
        lambda: model(
            inputs=[info("x", ["N", 4, LENGTH]), info("extra", ["N", 3])],
            nodes=[
                *net_nodes(result="r"),
                node("ReduceMean", ["extra"], ["m"], axes=[1], keepdims=1),
                node("Add", ["r", "m"], ["y"]),
            ],
            constants=weights(),
        )
    ),
)
# Noise of mean 0 is what training adds; whatever else is random is a part of the function.
odd(
    "noise left over from training",
    SCORE,
    *LETTERS,
    notes=("random",),
    make=file_of(behind_net(node("RandomNormalLike", ["r"], ["n"]), node("Add", ["r", "n"], ["y"]))),
)
odd(
    "noise of a shape of its own left over from training",
    SCORE,
    *LETTERS,
    notes=("random",),
    make=file_of(behind_net(node("RandomNormal", [], ["n"], shape=[1, 2]), node("Add", ["r", "n"], ["y"]))),
)
bad(
    "random numbers as a factor",
    QUIET,
    FILE,
    "RandomNormalLike",
    make=file_of(behind_net(node("RandomNormalLike", ["r"], ["n"]), node("Mul", ["r", "n"], ["y"]))),
)
bad(
    "random numbers of a mean that is not 0",
    QUIET,
    FILE,
    "RandomUniform",
    make=file_of(behind_net(node("RandomUniform", [], ["n"], shape=[1, 2]), node("Add", ["r", "n"], ["y"]))),
)
bad(
    "a shape of 20 million numbers that is worked out",
    QUIET,
    FILE,
    "20,000,000 axes",
    make=file_of(
        behind_net(
            node(
                "ConstantOfShape", ["s"], ["ones"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1])
            ),
            node("ConstantOfShape", ["ones"], ["big"]),
            node("ReduceMean", ["big"], ["m"], keepdims=0),
            node("Add", ["r", "m"], ["y"]),
            constants={"s": integers(20_000_000)},
        )
    ),
)
bad(
    "an output of integers",
    QUIET,
    FILE,
    make=file_of(
        lambda: model(
            [*net_nodes(result="r"), node("Cast", ["r"], ["y"], to=TensorProto.INT64)],
            weights(),
            outputs=[info("y", ["N", 2], TensorProto.INT64)],
        )
    ),
)
bad(
    "an output of strings",
    QUIET,
    FILE,
    make=file_of(
        lambda: model(
            [*net_nodes(result="r"), node("Cast", ["r"], ["y"], to=TensorProto.STRING)],
            weights(),
            outputs=[info("y", ["N", 2], TensorProto.STRING)],
        )
    ),
)
bad(
    "an output that does not depend on the input",
    QUIET,
    FILE,
    "depend|constant",
    make=file_of(
        lambda: model(
            [node("Identity", ["k"], ["y"])], {"k": np.ones((1, 2), np.float32)}, outputs=[info("y", [1, 2])]
        )
    ),
)
bad(
    "no axis of 4",
    QUIET,
    FILE,
    "axis|4 bases|layout",
    make=file_of(
        lambda: model(
            [node("ReduceMean", ["x"], ["y"], axes=[2], keepdims=0)],
            {},
            [info("x", ["N", 5, LENGTH])],
            [info("y", ["N", 5])],
        )
    ),
)
bad(
    "weights of NaN",
    QUIET,
    FILE,
    "nan",
    never=("converted rightly",),
    make=edited(
        lambda proto: _first_weight(proto).CopyFrom(
            numpy_helper.from_array(np.full((6, 4, 5), np.nan, np.float32), "conv.weight")
        )
    ),
)
bad(
    "weights of infinity",
    QUIET,
    FILE,
    "nan|inf",
    never=("converted rightly",),
    make=edited(
        lambda proto: _first_weight(proto).CopyFrom(
            numpy_helper.from_array(np.full((6, 4, 5), np.inf, np.float32), "conv.weight")
        )
    ),
)
bad(
    "inspect: weights of NaN",
    INSPECT,
    FILE,
    "nan",
    never=("converted rightly",),
    make=edited(
        lambda proto: _first_weight(proto).CopyFrom(
            numpy_helper.from_array(np.full((6, 4, 5), np.nan, np.float32), "conv.weight")
        )
    ),
)
bad(
    "an operator without a rule",
    QUIET,
    FILE,
    "Det|no DeepLIFT rule|cannot convert",
    make=file_of(
        lambda: model(
            [
                *net_nodes(result="r"),
                node("Einsum", ["r", "r"], ["q"], equation="ni,nj->nij"),
                node("Det", ["q"], ["d"]),
                node("Unsqueeze", ["d", "one"], ["y"]),
            ],
            {**weights(), "one": integers(1)},
            outputs=[info("y", ["N", 1])],
        )
    ),
)


# ---- odd and valid


def _some_nan() -> Any:
    """NaN where a sequence begins with `LETTERS[1][0]`, which the second record of in.fa does."""
    base = "ACGT".index(LETTERS[1][0])
    return model(
        [
            *net_nodes(result="r"),
            node("Gather", ["x", "base"], ["row"], axis=1),
            node("Gather", ["row", "place"], ["first"], axis=1),
            node("Sub", ["half", "first"], ["less"]),
            node("Log", ["less"], ["l"]),
            node("Mul", ["l", "zero"], ["n"]),
            node("Unsqueeze", ["n", "one"], ["u"]),
            node("Add", ["r", "u"], ["y"]),
        ],
        {
            **weights(),
            "base": np.array(base, np.int64),
            "place": np.array(0, np.int64),
            "half": np.array(0.5, np.float32),
            "zero": np.array(0, np.float32),
            "one": integers(1),
        },
    )


_OTHERS = tuple(text for text in LETTERS if text[0] != LETTERS[1][0])
# The references of these begin with the same base, so that they are never NaN.
odd(
    "NaN on some sequences",
    SCORE,
    *_OTHERS,
    skipped=len(LETTERS) - len(_OTHERS),
    make=file_of(_some_nan),
    notes=("skipped", "nan"),
)
odd(
    "NaN on random DNA only",
    SCORE,
    *_OTHERS,
    make=file_of(_some_nan),
    notes=("nan",),
    files={"in.fa": "".join(f">s{i}\n{text}\n" for i, text in enumerate(_OTHERS))},
)


def _half() -> Any:
    """The weights, rounded, in half precision throughout, with the input in it, too."""
    values = {name: value.astype(np.float16) for name, value in weights().items()}
    half = TensorProto.FLOAT16
    return model(net_nodes(), values, [info("x", ["N", 4, LENGTH], half)], [info("y", ["N", 2], half)])


def _rounded(folder: Path) -> None:
    values = {name: value.astype(np.float16).astype(np.float32) for name, value in weights().items()}
    (folder / "rounded.onnx").write_bytes(model(net_nodes(), values).SerializeToString())


def _half_inside() -> Any:
    values = {name: value.astype(np.float16) for name, value in weights().items()}
    nodes = [
        node("Cast", ["x"], ["z"], to=TensorProto.FLOAT16),
        *net_nodes("z", "r"),
        node("Cast", ["r"], ["y"], to=FLOAT),
    ]
    return model(nodes, values)


def _double() -> Any:
    values = {name: value.astype(np.float64) for name, value in weights().items()}
    double = TensorProto.DOUBLE
    return model(net_nodes(), values, [info("x", ["N", 4, LENGTH], double)], [info("y", ["N", 2], double)])


odd("half precision", SCORE, *LETTERS, model="rounded.onnx", plain_make=_rounded, make=file_of(_half))
odd(
    "half precision inside",
    SCORE,
    *LETTERS,
    model="rounded.onnx",
    plain_make=_rounded,
    make=file_of(_half_inside),
)
odd("double precision", SCORE, *LETTERS, make=file_of(_double), notes=("onnxruntime",))
odd("inspect: half precision", INSPECT, make=file_of(_half))
odd(
    "outputs of about 0",
    SCORE,
    make=file_of(
        behind_net(node("Mul", ["r", "tiny"], ["y"]), constants={"tiny": np.array(1e-30, np.float32)})
    ),
)
odd(
    "inspect: outputs of about 0",
    INSPECT,
    make=file_of(
        behind_net(node("Mul", ["r", "tiny"], ["y"]), constants={"tiny": np.array(1e-30, np.float32)})
    ),
)
odd(
    "inspect: a log-softmax of one class",
    INSPECT,
    code=(0, 1),
    make=file_of(
        lambda: model(
            [
                *net_nodes(result="r"),
                node("ReduceMean", ["r"], ["m"], axes=[1], keepdims=1),
                node("LogSoftmax", ["m"], ["y"], axis=1),
            ],
            weights(),
            outputs=[info("y", ["N", 1])],
        )
    ),
)
odd(
    "names of blanks and signs",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: _rename(proto, "x", "in put/0:é\n[red]")),
)
odd(
    "names of Python's words",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: _rename(proto, "c", "self.__class__")),
)
odd("names of 10,000 letters", SCORE, *LETTERS, make=edited(lambda proto: _rename(proto, "c", "n" * 10_000)))
odd(
    "nodes without names",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: [entry.ClearField("name") for entry in proto.graph.node]),
)
odd(
    "nodes of one name",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: [setattr(entry, "name", "n") for entry in proto.graph.node]),
    notes=("onnxruntime",),
)
odd(
    "weights that are inputs, too",
    SCORE,
    *LETTERS,
    make=edited(
        lambda proto: proto.graph.input.extend(info(t.name, list(t.dims)) for t in proto.graph.initializer)
    ),
)
odd(
    "nodes that nothing uses",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: proto.graph.node.append(node("Relu", ["c"], ["unused"]))),
)
odd("metadata of 5 MB", SCORE, *LETTERS, make=edited(lambda proto: _describe(proto)))
odd(
    "a doc string that looks like markup",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: setattr(proto, "doc_string", "[red]\x1b[31m")),
)
odd(
    "no shape of the output",
    SCORE,
    *LETTERS,
    make=edited(lambda proto: proto.graph.output[0].type.tensor_type.ClearField("shape")),
)
odd("a fixed batch of 1", SCORE, *LETTERS, make=file_of(_declared_batch(1)), notes=("batch",))
odd("a fixed batch of 3 in a Reshape", SCORE, *LETTERS, make=file_of(_baked_batch(3)), notes=("batch",))
odd(
    "weights of denormal numbers beside",
    SCORE,
    *LETTERS,
    make=edited(
        lambda proto: proto.graph.initializer.append(
            numpy_helper.from_array(np.full(9, 1e-42, np.float32), "unused")
        )
    ),
)
odd(
    "named .pt",
    of_model(SCORE, "m.pt"),
    *LETTERS,
    make=lambda folder: shutil.copyfile(models()["net.onnx"], folder / "m.pt"),
)
odd(
    "of no suffix",
    of_model(SCORE, "m"),
    *LETTERS,
    make=lambda folder: shutil.copyfile(models()["net.onnx"], folder / "m"),
)
odd("behind a link", SCORE, *LETTERS, make=lambda folder: (folder / "m.onnx").symlink_to("net.onnx"))
odd(
    "in training mode",
    SCORE,
    *LETTERS,
    notes=("training",),
    make=file_of(
        behind_net(
            node("Dropout", ["r", "ratio", "yes"], ["y"]),
            constants={"ratio": np.array(0.5, np.float32), "yes": np.array(True)},
        )
    ),
)


def _rename(proto: Any, old: str, new: str) -> None:
    for entry in proto.graph.node:
        for names in (entry.input, entry.output):
            names[:] = [new if name == old else name for name in names]
    for value in (*proto.graph.input, *proto.graph.output):
        value.name = new if value.name == old else value.name


def _describe(proto: Any) -> None:
    entry = proto.metadata_props.add()
    entry.key, entry.value = "notes", "x" * 5_000_000


def _wild(folder: Path) -> list[str]:
    name = b"mo del\n\xff.onnx"
    shutil.copyfile(folder / "net.onnx", os.path.join(os.fsencode(folder), name))
    return ["score", "-m", os.fsdecode(name), "-f", "in.fa", "-o", "out.h5", "--n-references", "2"]


odd("a file name of blanks, a newline and no UTF-8", SCORE, *LETTERS, make=_wild)
assert onnx.__version__
