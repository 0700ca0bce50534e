"""An ONNX graph in a form that is easy to rewrite, and back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, inliner, numpy_helper

from deeplift_cli.models.onnx.errors import about
from deeplift_cli.models.onnx.inference import infer
from deeplift_cli.models.onnx.room import Room

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]
_SMALL = 64  # elements: constants up to this size may be the arguments of shape ops

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
class Graph:
    """The nodes of a model in topological order, with its constants as arrays.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        Every node has a name of its own.
    constants : dict
        Value of each initialiser and `Constant` node by its name.
    inputs, outputs : list of onnx.ValueInfoProto
        Without initialisers.
    infos : dict
        Declared or inferred type and shape of each value that has one.
    opset : int
        Version of the default operator set.
    domains : dict
        Version of each other operator set.
    room : Room
        How much may still be worked out beforehand.
    """

    nodes: list[Any]
    constants: dict[str, Array]
    inputs: list[Any]
    outputs: list[Any]
    infos: dict[str, Any]
    opset: int
    domains: dict[str, int]
    room: Room = field(default_factory=Room)

    @classmethod
    def from_model(cls, model: Any) -> "Graph":
        """Take a `ModelProto` apart: functions inlined, shapes inferred, `Constant` nodes made constants."""
        model = inliner.inline_local_functions(model)
        proto = model.graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer}
        inputs = [value for value in proto.input if value.name not in constants]
        infos = {value.name: value for value in (*proto.value_info, *proto.input, *proto.output)}
        domains = {entry.domain: entry.version for entry in model.opset_import if entry.domain != ""}
        graph = cls([], constants, inputs, list(proto.output), infos, opset_of(model), domains)
        graph.room = Room.for_constants(constants.values())
        for node in _uniquely_named(proto.node):
            with about(node):
                value = constant_value(node)
            if value is None:
                graph.nodes.append(node)
            else:
                graph.constants[node.output[0]] = value
        graph.infer_shapes(proto.value_info)
        return graph

    def to_model(self) -> Any:
        """Return the graph as a `ModelProto`, with the constants that are still used."""
        used = {name for node in self.nodes for name in (*node.input, *_names_in_bodies(node))}
        used |= {value.name for value in self.outputs}
        tensors = [numpy_helper.from_array(v, k) for k, v in self.constants.items() if k in used]
        outputs = {value.name for value in self.outputs}
        infos = [info for name, info in self.infos.items() if name not in outputs]
        proto = helper.make_graph(
            self.nodes, "normalised", self.inputs, self.outputs, tensors, value_info=infos
        )
        return helper.make_model(proto, opset_imports=self._opsets(), ir_version=8)

    def infer_shapes(self, declared: Iterable[Any] = ()) -> None:
        """Infer the shapes anew: constants that were folded since may tell more of them.

        Parameters
        ----------
        declared : iterable of onnx.ValueInfoProto
            What the file itself says of values inside.
        """
        names = {name for node in self.nodes for name in (*node.input, *_names_in_bodies(node))}
        used = {name: value for name, value in self.constants.items() if name in names}
        small = [numpy_helper.from_array(v, k) for k, v in used.items() if v.size <= _SMALL]
        large = [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in used.items()
            if v.size > _SMALL
        ]  # of weights, only the shapes matter: they need not be copied
        proto = helper.make_graph(
            self.nodes, "to infer", [*self.inputs, *large], self.outputs, small, value_info=list(declared)
        )

        def learn(found: Iterable[Any]) -> None:
            self.infos.update((value.name, value) for value in found)

        infer(proto, self._opsets(), self.shape, learn)

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

    def _opsets(self) -> list[Any]:
        domains = {"": self.opset, **self.domains}
        return [helper.make_opsetid(domain, version) for domain, version in domains.items()]

    def constant(self, node: Any, index: int) -> Array | None:
        """Return the constant value of a node's input, or None where it is absent or not constant."""
        return self.constants.get(node.input[index]) if index < len(node.input) else None

    def is_constant(self, node: Any, index: int) -> bool:
        """Whether a node's input is absent or constant."""
        return not has_input(node, index) or node.input[index] in self.constants

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a value as far as known; None where not even its rank is."""
        if name in self.constants:
            return self.constants[name].shape
        return shape_of(self.infos[name]) if name in self.infos else None

    def is_float(self, name: str) -> bool:
        """Whether a value is known to be of a floating-point type."""
        if name in self.constants:
            return np.issubdtype(self.constants[name].dtype, np.floating)
        return name in self.infos and self.infos[name].type.tensor_type.elem_type in FLOAT_TYPES


def bodies_of(node: Any) -> list[Any]:
    """Return the graphs that a node of control flow holds itself."""
    bodies = []
    for item in node.attribute:
        bodies += [item.g] if item.type == onnx.AttributeProto.GRAPH else []
        bodies += item.graphs
    return bodies


def _names_in_bodies(node: Any) -> set[str]:
    """Return the names of all values that the bodies in a node mention."""
    bodies = bodies_of(node)
    found = {value.name for body in bodies for value in body.output}
    for inner in (inner for body in bodies for inner in body.node):
        found |= {*inner.input, *_names_in_bodies(inner)}
    return found


def attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes, strings decoded, numbers as they were meant (0.2 for float32's 0.2)."""
    return {item.name: _meant(helper.get_attribute_value(item)) for item in node.attribute}


def _meant(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(str(np.float32(value)))
    return [_meant(item) for item in value] if isinstance(value, list) else value


def has_input(node: Any, index: int) -> bool:
    """Whether a node's input is given: optional ones are left out or have an empty name."""
    return len(node.input) > index and node.input[index] != ""


def make_node(
    like: Any, op_type: str, inputs: Iterable[str], outputs: Iterable[str] = (), **attrs: Any
) -> Any:
    """Return a node that takes the place (name, and outputs unless given) of `like`; None is no attribute."""
    given = {key: value for key, value in attrs.items() if value is not None}
    return helper.make_node(
        op_type, list(inputs), list(outputs) or list(like.output), name=like.name, **given
    )


def shape_of(info: Any) -> Shape | None:
    """Return the shape in a `ValueInfoProto`: None for symbolic axes, or altogether where it has none."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def opset_of(model: Any) -> int:
    """Return the version of the default operator set that a `ModelProto` asks for."""
    versions = [int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=1)


def _uniquely_named(nodes: Iterable[Any]) -> Iterable[Any]:
    """Give each node a name of its own that torch takes for a module's: onnx2torch loses nodes otherwise."""
    taken: set[str] = set()
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


def constant_value(node: Any) -> Array | None:
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
