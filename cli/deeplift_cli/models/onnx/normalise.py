"""The passes that bring an ONNX model into the form that converts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper

from deeplift_cli.models.onnx.definitions import expand_by_definition
from deeplift_cli.models.onnx.fold import fold_constants, fold_indexed_shapes
from deeplift_cli.models.onnx.graph import FLOAT_TYPES, Graph, Shape, attributes, make_node
from deeplift_cli.models.onnx.rewrites import is_own, rewrite_nodes
from deeplift_cli.models.onnx.sequences import resolve_sequences
from deeplift_cli.models.onnx.subgraphs import inline_control_flow
from deeplift_cli.models.onnx.training import as_at_inference

_DEEPEST = 30  # levels of branches and loops inside each other

# The newest operator set that onnx2torch knows well; newer ops are brought down to it.
TARGET_OPSET = 17


@dataclass(frozen=True)
class Unsupported:
    """An operator that nothing converts.

    Attributes
    ----------
    operator : str
        Its type, with its domain where that is not the default one.
    node : str
        Name of the node that uses it.
    """

    operator: str
    node: str


def prepare(model: Any) -> tuple[Graph, tuple[str, ...]]:
    """Take a model apart and work out what is known beforehand: still an ONNX graph of its operator set.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    graph : Graph
    notes : tuple of str
        On what was changed because it only has a meaning in training.

    Raises
    ------
    UserError
        Where random numbers are part of what the model computes.
    """
    graph = Graph.from_model(model)
    _take_float_inputs(graph)
    _fold(graph)
    notes = as_at_inference(graph)
    graph.infer_shapes()
    return graph, notes


def normalise(
    model: Any, *, free_batch: bool = False, prepared: Graph | None = None
) -> tuple[Graph, list[Unsupported]]:
    """Normalise a model's graph.

    Parameters
    ----------
    model : onnx.ModelProto
    free_batch : bool
        Make the graph take any number of rows where it was made for one. The caller checks the result: a
        constant in the graph does not say whether it stands for the batch.
    prepared : Graph, optional
        What `prepare` made of the model, where that is at hand; it is changed. Not with `free_batch`.

    Returns
    -------
    graph : Graph
    unsupported : list of Unsupported
        Ops that were introduced after `TARGET_OPSET`, or have gained a meaning since, and were not rewritten.
    """
    graph = prepared or prepare(with_open_batch(model) if free_batch else model)[0]
    _remove_identities(graph)
    graph = expand_by_definition(graph)
    rewrite_nodes(graph)
    _remove_identities(graph)
    graph.remove_unused()
    _separate_outputs(graph)
    if free_batch:
        made_for, _ = prepare(model)
        _free_reshapes(graph, {name: made_for.shape(name) for name in made_for.infos})
    _single_precision(graph)
    return graph, list(_relabel(graph))


def _fold(graph: Graph) -> None:
    """Fold what is constant until nothing is left to fold: constants tell of shapes, and of branches."""
    for _ in range(_DEEPEST):
        fold_constants(graph)
        graph.infer_shapes()
        fold_indexed_shapes(graph)
        fold_constants(graph)
        inlined = inline_control_flow(graph)
        if not resolve_sequences(graph) and not inlined:
            break
    graph.infer_shapes()


def _take_float_inputs(graph: Graph) -> None:
    """Declare as float an input of another type that the model turns into floats before all else."""
    for value in graph.inputs:
        users = [node for node in graph.nodes if value.name in node.input]
        casts = [node for node in users if node.op_type == "Cast" and attributes(node)["to"] in FLOAT_TYPES]
        if users and len(casts) == len(users):
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            graph.infos[value.name] = value


def _remove_identities(graph: Graph) -> None:
    """Remove what does nothing at inference: `Identity`, `Dropout`, casts from float to float."""
    outputs = {value.name for value in graph.outputs}
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        if not _does_nothing(node, graph):
            kept.append(node)
        elif node.output[0] in outputs:
            kept.append(make_node(node, "Identity", node.input[:1], node.output[:1]))
        else:
            renamed[node.output[0]] = node.input[0]
    graph.nodes = kept


def _does_nothing(node: Any, graph: Graph) -> bool:
    if node.domain or node.op_type not in ("Identity", "Dropout", "Cast"):
        return False
    if node.op_type == "Cast":
        return graph.is_float(node.input[0]) and attributes(node)["to"] in FLOAT_TYPES
    mask = node.output[1] if len(node.output) > 1 else ""
    used = {value.name for value in graph.outputs}.union(*(other.input for other in graph.nodes))
    return not mask or mask not in used


def _separate_outputs(graph: Graph) -> None:
    """Give each output of the model a node of its own: onnx2torch returns all that a node gives."""
    makers = {name: node for node in graph.nodes for name in node.output}
    for value in graph.outputs:
        maker = makers.get(value.name)
        if maker is not None and len(maker.output) == 1:
            continue
        inner = value.name
        if maker is not None:
            inner = f"{value.name}:inner"
            _rename_value(graph, value.name, inner)
        outer = value.name if maker is not None else f"{value.name}:output"
        graph.nodes.append(helper.make_node("Identity", [inner], [outer], name=f"output/{value.name}"))
        value.name = outer


def _rename_value(graph: Graph, old: str, new: str) -> None:
    for node in graph.nodes:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new if name == old else name


def with_open_batch(model: Any) -> Any:
    """Return the model with any number of rows."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    constants = {tensor.name for tensor in opened.graph.initializer}
    for value in opened.graph.input:
        if value.name not in constants and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for value in (*opened.graph.output, *opened.graph.value_info):
        value.type.tensor_type.ClearField("shape")  # declared for the fixed batch: to be inferred anew
    return opened


def _free_reshapes(graph: Graph, fixed: dict[str, Shape | None]) -> None:
    """Let reshapes to a constant first axis work that axis out, from the other axes of the `fixed` shapes.

    Where another axis is not known, the first is copied from the input if it is the same there.
    """
    for position, node in enumerate(graph.nodes):
        if node.op_type != "StaticReshape":
            continue
        shape = list(attributes(node)["shape"])
        source, result = fixed.get(node.input[0]), fixed.get(node.output[0])
        if not shape or shape[0] in (-1, 0):
            continue
        if result is not None and None not in result[1:]:
            shape = [-1, *(n for n in result[1:] if n is not None)]
        elif source and source[0] == shape[0]:
            shape[0] = 0
        elif -1 not in shape:
            shape[0] = -1
        graph.nodes[position] = make_node(node, "StaticReshape", node.input, shape=shape)


def _single_precision(graph: Graph) -> None:
    """Make all floating-point constants float32, so that one precision runs through the module."""
    for name, value in graph.constants.items():
        if value.dtype.kind == "f" or value.dtype.name == "bfloat16":
            graph.constants[name] = value.astype(np.float32)
    for value in graph.inputs:
        if value.type.tensor_type.elem_type in FLOAT_TYPES:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _relabel(graph: Graph) -> Iterator[Unsupported]:
    """Label the graph with `TARGET_OPSET`, yielding the nodes for which that is not the same op."""
    if graph.opset <= TARGET_OPSET:
        return
    for node in graph.nodes:
        if not node.domain and not _same_at_target(node, graph.opset):
            yield Unsupported(f"{node.op_type} (operator set {graph.opset})", node.name)
    graph.opset = TARGET_OPSET


def _same_at_target(node: Any, opset: int) -> bool:
    """Whether a node means the same at `TARGET_OPSET`; attributes at their newer default are removed.

    Newer versions of an op that have the same attributes and inputs have only learnt further types.
    """
    if is_own(node.op_type):
        return True
    try:
        newer = defs.get_schema(node.op_type, max_inclusive_version=opset)
        older = defs.get_schema(node.op_type, max_inclusive_version=TARGET_OPSET)
    except defs.SchemaError:
        return False
    if newer.since_version == older.since_version:
        return True
    for name, value in attributes(node).items():
        if name in older.attributes:
            continue
        if value not in (_default(newer.attributes[name]), b""):
            return False
        node.attribute.remove(next(item for item in node.attribute if item.name == name))
    return len(node.input) <= int(older.max_input)


def _default(attribute: Any) -> Any:
    value = helper.get_attribute_value(attribute.default_value) if attribute.default_value.name else None
    return value.decode() if isinstance(value, bytes) else value
