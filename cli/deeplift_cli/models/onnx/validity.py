"""What a file must be before anything in it is evaluated: valid, and of bounded size when written out."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, ValueInfoProto, checker

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx.axes import require_few_axes
from deeplift_cli.models.onnx.errors import brief
from deeplift_cli.models.onnx.graph import bodies_of, opset_of

# Nodes that a model may have, functions and loops written out: some ten times as many as large models have.
MOST_NODES = 50_000
# Names of ONNX's default domain.
_OWN_DOMAINS = ("", "ai.onnx")
# The domain under which the checker lets pass operators that ONNX does not have.
_UNKNOWN = "operators that ONNX does not have"
_LARGEST_AXIS = 2**31 - 1
# The number of versions of the file format beyond the installed onnx's that are still read, since each
# version has only added to the format.
_NEWER_FORMATS = 8
# Attributes that count positions. Libraries divide by these numbers.
_POSITIVE = {
    "dilations",
    "strides",
    "kernel_shape",
    "group",
    "num_heads",
    "blocksize",
    "groups",
    "num_groups",
}

_PADDINGS = (b"NOTSET", b"SAME_UPPER", b"SAME_LOWER", b"VALID")

_Key = tuple[str, str, str]


def require_valid(path: Path, model: ModelProto) -> None:
    """Refuse what ONNX's checker refuses, and what could not be worked on in bounded time.

    Parameters
    ----------
    path : pathlib.Path
    model : onnx.ModelProto
        The model with its weights. An axis of length -1, which old exporters write for any length, becomes
        one of any length.

    Raises
    ------
    UserError
    """
    _require_known_versions(path, model)
    _require_finite(path, model)
    has_few_axes = require_few_axes(path, model)
    for node in _all_nodes(model):
        _require_sound(path, node)
    for node in _nodes(model.graph.node):
        if any(item.ref_attr_name for item in node.attribute):
            raise _invalid(path, node, "takes an attribute from a function, and is in none")
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            _require_axes(path, kind, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checker.check_model(_as_checked(model), full_check=has_few_axes and _has_types(model))
    except (checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UserError(f"{path} is not a valid ONNX model: {_said(error)}") from error


def require_few_written_out(count: int) -> None:
    """Refuse loops that, written out, are more nodes than a model may have: loops in loops multiply.

    Raises
    ------
    UserError
    """
    if count > MOST_NODES:
        raise UserError(f"its loops, written out, have more than {MOST_NODES:,} nodes")


def _require_known_versions(path: Path, model: ModelProto) -> None:
    """Refuse operator sets whose meaning is not known, and formats that nobody can have written."""
    newest, opset = onnx.defs.onnx_opset_version(), opset_of(model)
    if opset > newest:
        raise UserError(
            f"{path} is of operator set {opset}, and onnx {onnx.__version__} knows those up to {newest}: "
            "install a newer onnx, or export the model with an older operator set"
        )
    if model.ir_version > onnx.IR_VERSION + _NEWER_FORMATS:
        raise UserError(
            f"{path} is not a valid ONNX model, or is damaged: it is of IR version {model.ir_version}, and "
            f"onnx {onnx.__version__} knows those up to {onnx.IR_VERSION}"
        )


def _has_types(model: ModelProto) -> bool:
    """Return whether all types can be inferred and checked; those of foreign operators cannot."""
    functions = {_key(function, function.name) for function in model.functions}
    opset = opset_of(model)
    return all(
        _key(node, node.op_type) in functions or (node.domain in _OWN_DOMAINS and _is_known(node, opset))
        for node in _all_nodes(model)
    )


def _said(error: Exception) -> str:
    """Return what the checker says, without the kind of its exception."""
    return brief(ValueError(error))


def _as_checked(model: ModelProto) -> ModelProto:
    """Return the model as the checker should see it.

    What the checker refuses for its form alone is left out: outputs whose shapes are not declared, which are
    inferred; a version of the file format that is newer than the checker; and operators that ONNX does not
    have, which the conversion names together unless it knows them, as it does some of exporters' own.
    """
    plain = [value for value in model.graph.output if value.type.tensor_type.HasField("shape")]
    foreign = not all(_is_known(node, opset_of(model)) for node in _all_nodes(model))
    if model.ir_version <= onnx.IR_VERSION and len(plain) == len(model.graph.output) and not foreign:
        return model
    checked = ModelProto()
    checked.CopyFrom(model)
    checked.ir_version = min(model.ir_version, onnx.IR_VERSION)
    del checked.graph.output[:]
    checked.graph.output.extend(plain)
    for node in _all_nodes(checked):
        if not _is_known(node, opset_of(model)):
            node.domain = _UNKNOWN
    for entries in (checked.opset_import, *(function.opset_import for function in checked.functions)):
        entries.append(onnx.helper.make_opsetid(_UNKNOWN, 1))
    return checked


def _is_known(node: NodeProto, opset: int) -> bool:
    """Return whether ONNX has an operator; those of other domains are left alone."""
    if node.domain not in _OWN_DOMAINS:
        return True
    try:
        onnx.defs.get_schema(node.op_type, max_inclusive_version=opset)
    except onnx.defs.SchemaError:
        return False
    return True


def _require_axes(path: Path, kind: str, value: ValueInfoProto) -> None:
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if not dim.HasField("dim_value"):
            continue
        if dim.dim_value == -1:
            dim.Clear()
        elif not 0 < dim.dim_value <= _LARGEST_AXIS:
            raise UserError(
                f"{path}: axis {axis} of {kind} {value.name} is declared with the length {dim.dim_value}"
            )


def _require_sound(path: Path, node: NodeProto) -> None:
    for item in node.attribute:
        if item.name in _POSITIVE and any(number < 1 for number in (*item.ints, *_single(item))):
            raise _invalid(path, node, f"has an attribute {item.name} that is not positive")
        if item.name == "auto_pad" and not node.domain and item.s not in _PADDINGS:
            raise _invalid(path, node, "has an attribute auto_pad that ONNX does not have")


def _invalid(path: Path, node: NodeProto, what: str) -> UserError:
    return UserError(f"{path} is not a valid ONNX model: node {node.name} ({node.op_type}) {what}")


def _single(item: AttributeProto) -> tuple[int, ...]:
    return (item.i,) if item.type == AttributeProto.INT else ()


# ---- functions


def _require_finite(path: Path, model: ModelProto) -> None:
    """Refuse functions that call themselves, and models of too many nodes."""
    functions = {_key(function, function.name): function for function in model.functions}
    sizes: dict[_Key, int] = {}
    for key in functions:
        _count(path, key, functions, sizes)
    total = _size(model.graph.node, functions, sizes)
    if total > MOST_NODES:
        raise UserError(f"{path} has {total:,} nodes; deeplift converts up to {MOST_NODES:,}")


def _count(path: Path, start: _Key, functions: dict[_Key, FunctionProto], sizes: dict[_Key, int]) -> None:
    """Work out how many nodes a function has when those that it calls are written out, without recursion."""
    stack: list[tuple[_Key, bool]] = [(start, False)]
    within: set[_Key] = set()
    while stack:
        key, done = stack.pop()
        if done:
            within.discard(key)
            sizes[key] = min(_size(functions[key].node, functions, sizes), 1 << 62)
        elif key in within:
            raise UserError(f"{path} is not a valid ONNX model: function {key[1]} calls itself")
        elif key not in sizes:
            within.add(key)
            stack.append((key, True))
            called = {_key(node, node.op_type) for node in _nodes(functions[key].node)}
            stack.extend((other, False) for other in called if other in functions)


def _size(nodes: Iterable[NodeProto], functions: dict[_Key, FunctionProto], sizes: dict[_Key, int]) -> int:
    return sum(sizes.get(_key(node, node.op_type), 1) if functions else 1 for node in _nodes(nodes))


def _key(item: NodeProto | FunctionProto, name: str) -> _Key:
    return item.domain, name, getattr(item, "overload", "")


def _all_nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from _nodes(model.graph.node)
    for function in model.functions:
        yield from _nodes(function.node)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """All nodes, those in bodies of control flow included."""
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from _nodes(body.node)
