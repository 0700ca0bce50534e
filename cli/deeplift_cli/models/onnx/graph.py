"""An ONNX graph in a form that is easy to rewrite, and back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    ValueInfoProto,
    helper,
    inliner,
    numpy_helper,
)
from torch import Tensor, fx, nn

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.inference import infer
from deeplift_cli.models.onnx.room import Room

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]
Proto = TypeVar("Proto", NodeProto, ValueInfoProto)
_SMALL = 64  # elements: constants up to this size may be the arguments of shape ops

CONSTANTS = "constants"  # the submodule that holds constants which are arguments
# Names that a node's module cannot have.
_TAKEN = {CONSTANTS, *dir(nn.Module()), *dir(fx.GraphModule)}

FLOAT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)
# Operators that draw random numbers.
RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


@dataclass
class _Index:
    """Which node makes each value, which nodes take it, in their order, and which values are outputs."""

    nodes: list[NodeProto]
    outputs: frozenset[str] = frozenset()
    makers: dict[str, NodeProto] = field(default_factory=dict)
    users: dict[str, list[NodeProto]] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: list[NodeProto], outputs: Iterable[ValueInfoProto]) -> "_Index":
        index = cls(nodes, frozenset(value.name for value in outputs))
        for node in nodes:
            index.makers.update(dict.fromkeys(node.output, node))
            for name in dict.fromkeys(node.input):
                index.users.setdefault(name, []).append(node)
        return index


@dataclass
class Graph:
    """The nodes of a model in topological order, with its constants as arrays.

    A pass over the graph makes a new list of nodes; `maker`, `users` and `is_output` look them up in an index
    that is made once for each list.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        Every node has a name of its own.
    constants : dict
        Value of each initialiser and `Constant` node by its name.
    inputs, outputs : list of onnx.ValueInfoProto
        The declared values without initialisers.
    infos : dict
        Declared or inferred type and shape of each value that has one.
    opset : int
        Version of the default operator set.
    domains : dict
        Version of each other operator set.
    room : Room
        How much may still be worked out beforehand.
    sequences : dict
        Names of the tensors that each sequence holds, as far as they are worked out.
    modules : dict
        The torch module of each node that has been converted, by the node's name. Such a node has the inputs
        that the module takes.
    """

    nodes: list[NodeProto]
    constants: dict[str, Array]
    inputs: list[ValueInfoProto]
    outputs: list[ValueInfoProto]
    infos: dict[str, ValueInfoProto]
    opset: int
    domains: dict[str, int]
    room: Room = field(default_factory=Room)
    sequences: dict[str, list[str]] = field(default_factory=dict)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    # what the file itself says of values inside, until shapes are inferred from it
    _declared: list[ValueInfoProto] = field(default_factory=list)
    _index: _Index = field(default_factory=lambda: _Index([]))

    @classmethod
    def from_model(cls, model: ModelProto) -> "Graph":
        """Take a `ModelProto` apart: functions inlined, `Constant` nodes made constants."""
        model = inliner.inline_local_functions(model)
        proto = model.graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer}
        inputs = [value for value in proto.input if value.name not in constants]
        infos = {value.name: value for value in (*proto.value_info, *proto.input, *proto.output)}
        domains = {entry.domain: entry.version for entry in model.opset_import if entry.domain != ""}
        graph = cls([], constants, inputs, list(proto.output), infos, opset_of(model), domains)
        graph.room, graph._declared = Room.for_constants(constants.values()), list(proto.value_info)
        for node in uniquely_named(proto.node):
            with about(node):
                value = constant_value(node)
            if value is None:
                graph.nodes.append(node)
            else:
                graph.constants[node.output[0]] = value
        return graph

    def with_open_batch(self) -> "Graph":
        """Return a copy that takes any number of rows, in which no shapes are known yet."""
        inputs, outputs = [_copy(value) for value in self.inputs], [_copy(value) for value in self.outputs]
        for value in inputs:
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_param = "batch"
        for value in outputs:  # declared for the fixed batch: to be inferred anew
            value.type.tensor_type.ClearField("shape")
        nodes, infos = [_copy(node) for node in self.nodes], {value.name: value for value in inputs}
        constants = dict(self.constants)
        room = Room.for_constants(constants.values())
        return Graph(nodes, constants, inputs, outputs, infos, self.opset, dict(self.domains), room)

    def to_model(self) -> ModelProto:
        """Return the graph as a `ModelProto`, with the constants that are still used."""
        used = {name for node in self.nodes for name in (*node.input, *_names_in_bodies(node))}
        used |= {value.name for value in self.outputs}
        tensors = [numpy_helper.from_array(v, k) for k, v in self.constants.items() if k in used]
        outputs = {value.name for value in self.outputs}
        infos = [info for name, info in self.infos.items() if name not in outputs]
        proto = helper.make_graph(
            self.nodes, "prepared", self.inputs, self.outputs, tensors, value_info=infos
        )
        return helper.make_model(proto, opset_imports=self.opsets(), ir_version=8)

    def infer_shapes(self) -> None:
        """Infer the shapes, anew where constants that were folded since may tell more of them."""
        names = {name for node in self.nodes for name in (*node.input, *_names_in_bodies(node))}
        used = {name: value for name, value in self.constants.items() if name in names}
        small = [numpy_helper.from_array(v, k) for k, v in used.items() if v.size <= _SMALL]
        large = [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in used.items()
            if v.size > _SMALL
        ]  # of weights, only the shapes matter: they need not be copied
        proto = helper.make_graph(self.nodes, "to infer", [*self.inputs, *large], self.outputs, small)
        proto.value_info.extend(self._declared)
        self._declared = []

        def learn(found: Iterable[ValueInfoProto]) -> None:
            self.infos.update((value.name, value) for value in found)

        infer(proto, self.opsets(), self.shape, learn)

    def remove_unused(self) -> None:
        """Remove, in place, the nodes that no output of the model needs."""
        needed = {value.name for value in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                needed |= _names_in_bodies(node)
                kept.append(node)
        self.nodes = kept[::-1]

    def opsets(self) -> list[OperatorSetIdProto]:
        """Return the operator sets that the nodes are of."""
        domains = {"": self.opset, **self.domains}
        return [helper.make_opsetid(domain, version) for domain, version in domains.items()]

    def version(self, domain: str) -> int:
        """Return the version of a domain's operator set."""
        return self.domains.get(domain, self.opset)

    # ---- nodes by their values

    def maker(self, name: str) -> NodeProto | None:
        """Return the node that makes a value; None for constants and inputs."""
        return self._indexed().makers.get(name)

    def users(self, name: str) -> list[NodeProto]:
        """Return the nodes that take a value."""
        return self._indexed().users.get(name, [])

    def is_output(self, name: str) -> bool:
        """Return whether a value is one of the model's outputs."""
        return name in self._indexed().outputs

    def is_used(self, name: str) -> bool:
        """Return whether a node takes a value, or it is one of the model's outputs."""
        return name != "" and (bool(self.users(name)) or self.is_output(name))

    def replace(self, old: str, new: str) -> None:
        """Let whatever takes the value `old` take `new`; an output of the model keeps its name."""
        index = self._indexed()
        users = index.users.pop(old, [])
        for node in users:
            for place, name in enumerate(node.input):
                node.input[place] = new if name == old else name
        index.users.setdefault(new, []).extend(users)
        if self.is_output(old):
            kept = [node for node in self.nodes if old not in node.output]
            self.nodes = [*kept, helper.make_node("Identity", [new], [old], name=f"output/{old}")]

    def _indexed(self) -> _Index:
        if self._index.nodes is not self.nodes:
            self._index = _Index.of(self.nodes, self.outputs)
        return self._index

    # ---- values

    def constant(self, node: NodeProto, index: int) -> Array | None:
        """Return the constant value of a node's input, or None where it is absent or not constant."""
        return self.constants.get(node.input[index]) if index < len(node.input) else None

    def is_constant(self, node: NodeProto, index: int) -> bool:
        """Return whether a node's input is absent or constant."""
        return not has_input(node, index) or node.input[index] in self.constants

    def tensor(self, name: str) -> Tensor:
        """Return a constant as a tensor; floating-point numbers are float32, as in the whole module."""
        value = self.constants[name]
        is_float = value.dtype.kind == "f" or value.dtype.name == "bfloat16"
        return torch.from_numpy(np.array(value, dtype=np.float32 if is_float else value.dtype))

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a value as far as known; None where not even its rank is."""
        if name in self.constants:
            return self.constants[name].shape
        return shape_of(self.infos[name]) if name in self.infos else None

    def is_float(self, name: str) -> bool:
        """Return whether a value is known to be of a floating-point type."""
        if name in self.constants:
            return np.issubdtype(self.constants[name].dtype, np.floating)
        return name in self.infos and self.infos[name].type.tensor_type.elem_type in FLOAT_TYPES


def _copy(item: Proto) -> Proto:
    copy = type(item)()
    copy.CopyFrom(item)
    return copy


def bodies_of(node: NodeProto) -> list[GraphProto]:
    """Return the graphs that a node of control flow holds itself."""
    bodies = []
    for item in node.attribute:
        bodies += [item.g] if item.type == onnx.AttributeProto.GRAPH else []
        bodies += item.graphs
    return bodies


def _names_in_bodies(node: NodeProto) -> set[str]:
    """Return the names of all values that the bodies in a node mention."""
    bodies = bodies_of(node)
    found = {value.name for body in bodies for value in body.output}
    for inner in (inner for body in bodies for inner in body.node):
        found |= {*inner.input, *_names_in_bodies(inner)}
    return found


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes, strings decoded, numbers as they were meant (0.2 for float32's 0.2)."""
    return {item.name: _meant(helper.get_attribute_value(item)) for item in node.attribute}


def _meant(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(str(np.float32(value)))
    return [_meant(item) for item in value] if isinstance(value, list) else value


def whole_numbers(values: Array | None) -> list[int] | None:
    """Return an array's elements as a flat list of int; None for None."""
    return None if values is None else [int(value) for value in values.reshape(-1)]


def has_input(node: NodeProto, index: int) -> bool:
    """Return whether a node's input is given: optional ones are left out or have an empty name."""
    return len(node.input) > index and node.input[index] != ""


def make_node(
    like: NodeProto, op_type: str, inputs: Iterable[str], outputs: Iterable[str] = (), **attrs: Any
) -> NodeProto:
    """Return a node that takes the place (name, and outputs unless given) of `like`; None is no attribute."""
    given = {key: value for key, value in attrs.items() if value is not None}
    return helper.make_node(
        op_type, list(inputs), list(outputs) or list(like.output), name=like.name, **given
    )


def shape_of(info: ValueInfoProto) -> Shape | None:
    """Return the shape in a `ValueInfoProto`: None for symbolic axes, or altogether where it has none."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def opset_of(model: ModelProto) -> int:
    """Return the version of the default operator set that a `ModelProto` asks for."""
    versions = [int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=1)


def uniquely_named(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    """Give each node a name of its own that torch takes for a module's: onnx2torch loses nodes otherwise."""
    taken = set(_TAKEN)
    counts: dict[str, int] = {}  # nodes of each name so far: thousands may have none
    for node in nodes:
        base = re.sub(r"[.\"'\\\s]", "/", node.name) or node.op_type
        name, count = base, counts.get(base, 0)
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        counts[base] = count
        taken.add(name)
        node.name = name
        node.domain = "" if node.domain == "ai.onnx" else node.domain
        while node.input and node.input[-1] == "":
            node.input.pop()
        yield node


def constant_value(node: NodeProto) -> Array | None:
    """Return the value of a `Constant` node of numbers; None for any other node."""
    if node.op_type != "Constant" or node.domain:
        return None
    (key, value), *_ = attributes(node).items()
    if key == "value":
        return np.asarray(numpy_helper.to_array(value))
    if key in ("value_float", "value_floats"):
        return np.asarray(value, dtype=np.float32)
    if key in ("value_int", "value_ints"):
        return np.asarray(value, dtype=np.int64)
    return None  # strings and sparse tensors: left to be reported as unsupported
