"""ONNX files, from any exporter."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deeplift_cli.errors import UserError
from deeplift_cli.models.labels import labels_in_metadata
from deeplift_cli.models.model_file import ModelFile, TensorSpec, batch_note, file_sha256
from deeplift_cli.models.registry import Candidate, Format

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto
    from torch import Tensor, nn

    from deeplift_cli.models.onnx.graph import Graph, Shape

# One part in so many of all memory may be used, since scoring keeps the values of input and reference for the
# backward pass.
_SHARE = 8
# Loading stays quick, since a model of which one batch takes more bytes is not run on loading.
_LARGEST_TRIAL = 1 << 29


def recognises(candidate: Candidate) -> bool:
    """Return whether the file starts as an ONNX model does (with the IR version), or at least is named so."""
    head = candidate.head
    is_onnx = len(head) > 2 and head[0] == 0x08 and 1 <= head[1] < 64 and head[2] in (0x12, 0x1A, 0x3A, 0x42)
    if head[4:9] == b"\0\0\0\0{":  # the length in front of the JSON object of safetensors
        return False
    return is_onnx or (candidate.path.suffix == ".onnx" and not candidate.members)


def read(path: Path, *, allow_pickle: bool) -> ModelFile:  # noqa: ARG001
    """Convert an ONNX file to a torch module.

    The batch size is made free where the graph allows it, and the result is compared with onnxruntime where
    that is installed and the file not too large.

    Raises
    ------
    UserError
        Where the file is damaged or no valid ONNX model, needs more memory than there is, uses operators
        without a converter, or is not converted rightly.
    """
    from deeplift_cli.models.onnx.errors import conversion_errors

    with conversion_errors(path):
        return _read(path)


def _read(path: Path) -> ModelFile:
    from deeplift_cli.models.onnx.check import half_precision
    from deeplift_cli.models.onnx.graph import Graph
    from deeplift_cli.models.onnx.preparation import prepare
    from deeplift_cli.process.memory import in_words

    model, external = _load(path)
    _require_tensors(path, model)
    graph = Graph.from_model(model)
    inputs, outputs = _specs(graph.inputs), _specs(graph.outputs)
    opened = graph.with_open_batch()
    notes = prepare(graph)
    needed = _require_memory(path, graph)
    file = _File(
        path,
        size=sum(part.stat().st_size for part in (path, *external)),
        treated=graph.to_model().SerializeToString() if notes else None,
        half=half_precision(model),
        opened=opened,
        shapes={name: graph.shape(name) for name in graph.infos},
    )
    module = _converted(path, graph)
    if needed > _LARGEST_TRIAL:
        notes = (*notes, f"not tried out on loading, as one batch takes {in_words(needed)}")
    elif inputs and all(spec.shape for spec in inputs):
        rows = (inputs[0].shape or ())[0]
        module, batch, found = _settled(file, module, inputs)
        notes = (*notes, *found)
        inputs = tuple(_with_rows(spec, rows, batch) for spec in inputs)
    metadata = {item.key: item.value for item in model.metadata_props}
    labels = labels_in_metadata(metadata)
    weights = tuple(item.name for item in model.graph.initializer)
    sha256 = file_sha256(path, external)
    return ModelFile(module, "onnx", path, sha256, inputs, outputs, notes, labels, weights)


@dataclass(frozen=True)
class _File:
    """A file, its bytes with external data, and what it is tried out with.

    Attributes
    ----------
    treated : bytes or None
        What onnxruntime is to run in place of the file, where this is in training mode.
    half : int or None
        The half precision that the file computes in.
    opened : Graph
        The graph for any number of rows, not yet prepared.
    shapes : dict
        The shape of each value for the number of rows that the file declares.
    """

    path: Path
    size: int
    treated: bytes | None
    half: int | None
    opened: "Graph"
    shapes: "dict[str, Shape | None]"


def _load(path: Path) -> tuple["ModelProto", list[Path]]:
    """Read the protobuf and its external data; return the valid model and the data files."""
    import onnx
    import torch
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from deeplift_cli.models.onnx.errors import brief
    from deeplift_cli.models.onnx.validity import require_valid
    from deeplift_cli.models.onnx.weights import load_external_data, require_whole_weights
    from deeplift_cli.process.memory import memory_of

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not an ONNX file, or is damaged or truncated: {brief(error)}") from error
    if not model.graph.node or not model.graph.output:
        raise UserError(f"{path} is not an ONNX model, or is truncated: it has no graph")
    external = load_external_data(path, model, memory_of(torch.device("cpu")) // 2)
    require_whole_weights(path, model)
    require_valid(path, model)
    return model, external


def _require_memory(path: Path, graph: "Graph") -> int:
    """Refuse a model of which one batch takes more memory than scoring could spare; return its bytes."""
    import torch

    from deeplift_cli.models.onnx.room import largest_batch
    from deeplift_cli.process.memory import in_words, memory_of

    needed, where = largest_batch(graph, rows=1)
    there = memory_of(torch.device("cpu")) // _SHARE
    if needed > there:
        shape = _specs(graph.inputs)[0].shape if graph.inputs else None
        rows = shape[0] if shape else None
        batch = "one sequence takes" if rows is None else f"one batch of the declared {rows:,} rows takes"
        raise UserError(
            f"{path} needs too much memory: {batch} at least {in_words(needed)} at {where}, and there "
            f"are {in_words(there)} for a batch; export the model with a smaller batch or length"
        )
    return needed


def _require_tensors(path: Path, model: "ModelProto") -> None:
    """Refuse sequences and optional values as inputs and outputs."""
    graph = model.graph
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            held = value.type.WhichOneof("value")
            if held not in ("tensor_type", None):
                raise UserError(f"{path}: {kind} {value.name} is no tensor ({held}): export it as tensors")


def _converted(path: Path, graph: "Graph", shapes: "dict[str, Shape | None] | None" = None) -> "nn.Module":
    """Convert a prepared graph; where `shapes` for a fixed number of rows are given, for any number."""
    from deeplift_cli.models.onnx.conversion import convert_nodes, free_reshapes, to_module

    missing = convert_nodes(graph)
    if missing:
        found: dict[str, list[str]] = {}
        for item in missing:
            found.setdefault(item.operator, []).append(item.node)
        listed = "; ".join(f"{operator}: {', '.join(nodes)}" for operator, nodes in sorted(found.items()))
        raise UserError(
            f"{path} uses ONNX operators that deeplift cannot convert (operator: nodes): {listed}"
        )
    if shapes is not None:
        free_reshapes(graph, shapes)
    return to_module(graph)


def _with_rows(spec: TensorSpec, declared: int | None, batch: int | None) -> TensorSpec:
    """Return an input with another number of rows in place of the declared one, if it has rows."""
    shape = spec.shape or ()
    return replace(spec, shape=(batch, *shape[1:])) if shape[:1] == (declared,) else spec


def _settled(
    file: _File, module: "nn.Module", specs: tuple[TensorSpec, ...]
) -> tuple["nn.Module", int | None, tuple[str, ...]]:
    """Free the batch size where possible, compare with onnxruntime; return module, batch size and notes."""
    from deeplift_cli.models.onnx.check import compare_with_onnxruntime
    from deeplift_cli.models.onnx.preparation import prepare
    from deeplift_cli.models.onnx.several_inputs import Packed, example_inputs, pack
    from deeplift_cli.models.probing import example_input, settle_batch

    shapes = [spec.shape or () for spec in specs]
    declared = shapes[0][0]
    rows = declared or 1
    if len(shapes) == 1:
        x = example_input(module, shapes[0], 2 * rows, specs[0].dtype)
        inputs: tuple[Tensor, ...] | None = None if x is None else (x,)
    else:
        inputs = example_inputs(module, shapes, [spec.dtype for spec in specs], 2 * rows)
    if inputs is None:
        return module, declared, ()
    examples = inputs

    def of_one(module: "nn.Module") -> "nn.Module":
        return module if len(examples) == 1 else Packed(module, examples)

    def freed() -> "nn.Module | None":
        try:
            prepare(file.opened)
            return of_one(_converted(file.path, file.opened, file.shapes))
        except UserError:
            return None

    together = inputs[0] if len(inputs) == 1 else pack(inputs)
    module, batch = settle_batch(of_one(module), freed, together, declared)
    module = module.module if isinstance(module, Packed) else module
    of_file = declared is not None or batch is not None
    batch_of_file = tuple(value[:rows] for value in inputs) if of_file else inputs
    notes = compare_with_onnxruntime(file.path, file.size, module, batch_of_file, file.treated, file.half)
    if batch is not None:
        notes = (*notes, batch_note(batch))
    return module, batch, notes


def _specs(values: "list[ValueInfoProto]") -> tuple[TensorSpec, ...]:
    import onnx

    from deeplift_cli.models.onnx.graph import shape_of

    def dtype(value: "ValueInfoProto") -> str | None:
        number = value.type.tensor_type.elem_type
        return str(onnx.helper.tensor_dtype_to_np_dtype(number).name) if number else None

    return tuple(TensorSpec(value.name, shape_of(value), dtype(value)) for value in values)


FORMAT = Format("onnx", "ONNX (.onnx)", recognises, read)
