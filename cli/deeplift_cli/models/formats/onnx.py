"""ONNX files, from any exporter."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.model_file import ModelFile, TensorSpec, batch_note, file_sha256
from deeplift_cli.models.registry import Candidate, Format

if TYPE_CHECKING:
    from torch import nn

    from deeplift_cli.models.onnx_conversion.graph import Graph
    from deeplift_cli.models.onnx_conversion.normalise import Unsupported


def recognises(candidate: Candidate) -> bool:
    """Whether the file starts as an ONNX model does (with the IR version), or at least is named so."""
    head = candidate.head
    is_onnx = len(head) > 2 and head[0] == 0x08 and 1 <= head[1] < 64 and head[2] in (0x12, 0x1A, 0x3A, 0x42)
    return is_onnx or (candidate.path.suffix == ".onnx" and not candidate.members)


def read(path: Path, *, allow_pickle: bool) -> ModelFile:  # noqa: ARG001
    """Convert an ONNX file to a torch module.

    The batch size is made free where the graph allows it, and the result is compared with onnxruntime where
    that is installed and the file not too large.

    Raises
    ------
    UserError
        Where the file is damaged, uses operators without a converter, or is not converted rightly.
    """
    from onnx.checker import ValidationError
    from onnx.shape_inference import InferenceError

    from deeplift_cli.models.onnx_conversion.graph import Graph
    from deeplift_cli.models.onnx_conversion.normalise import normalise

    model, external = _load(path)
    try:
        plain = Graph.from_model(model)
        inputs, outputs = _specs(plain.inputs), _specs(plain.outputs)
        graph, newer = normalise(model)
    except (InferenceError, ValidationError) as error:
        raise UserError(f"{path} is not a valid ONNX model: {_first_line(error)}") from error
    module = _converted(path, graph, newer)
    size = sum(part.stat().st_size for part in (path, *external))
    notes: tuple[str, ...] = ()
    if len(inputs) == 1 and inputs[0].shape:
        module, batch, notes = _settled(path, size, model, module, inputs[0].shape)
        inputs = (TensorSpec(inputs[0].name, (batch, *inputs[0].shape[1:]), inputs[0].dtype),)
    return ModelFile(module, "onnx", path, file_sha256(path, external), inputs, outputs, notes)


def _load(path: Path) -> tuple[Any, list[Path]]:
    """Read the protobuf and its external data; return the model and the data files."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import checker, external_data_helper

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not an ONNX file, or is damaged or truncated: {_first_line(error)}"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise UserError(f"{path} is not an ONNX model, or is truncated: it has no graph")
    names = {
        entry.value
        for tensor in external_data_helper._get_all_tensors(model)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    external = [path.parent / name for name in sorted(names)]
    for part in external:
        if not part.is_file():
            raise UserError(
                f"{path} keeps its weights in {part}, which does not exist; keep both files together"
            )
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, checker.ValidationError) as error:
        raise UserError(f"the weights of {path} cannot be read: {_first_line(error)}") from error
    return model, external


def _converted(path: Path, graph: "Graph", newer: list["Unsupported"]) -> "nn.Module":
    from deeplift_cli.models.onnx_conversion.converters import convert, without_converter

    named = {item.node for item in newer}
    missing = [*newer, *(item for item in without_converter(graph) if item.node not in named)]
    if missing:
        found: dict[str, list[str]] = {}
        for item in missing:
            found.setdefault(item.operator, []).append(item.node)
        listed = "; ".join(f"{operator}: {', '.join(nodes)}" for operator, nodes in sorted(found.items()))
        raise UserError(
            f"{path} uses ONNX operators that deeplift cannot convert (operator: nodes): {listed}"
        )
    try:
        return convert(graph)
    except (NotImplementedError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} cannot be converted: {_first_line(error)}") from error


def _settled(
    path: Path, size: int, model: Any, module: "nn.Module", shape: tuple[int | None, ...]
) -> tuple["nn.Module", int | None, tuple[str, ...]]:
    """Free the batch size where possible, compare with onnxruntime; return module, batch size and notes."""
    from deeplift_cli.models.onnx_conversion.check import compare_with_onnxruntime
    from deeplift_cli.models.onnx_conversion.normalise import normalise
    from deeplift_cli.models.probing import example_input, settle_batch

    rows = shape[0] or 1
    x = example_input(module, shape, 2 * rows)
    if x is None:
        return module, shape[0], ()

    def freed() -> "nn.Module | None":
        try:
            return _converted(path, *normalise(model, free_batch=True))
        except UserError:
            return None

    module, batch = settle_batch(module, freed, x, shape[0])
    batch_of_file = x[:rows] if shape[0] is not None or batch is not None else x
    notes = compare_with_onnxruntime(path, size, module, batch_of_file)
    if batch is not None:
        notes = (*notes, batch_note(batch))
    return module, batch, notes


def _specs(values: list[Any]) -> tuple[TensorSpec, ...]:
    import onnx

    from deeplift_cli.models.onnx_conversion.graph import shape_of

    def dtype(value: Any) -> str | None:
        number = value.type.tensor_type.elem_type
        return str(onnx.helper.tensor_dtype_to_np_dtype(number).name) if number else None

    return tuple(TensorSpec(value.name, shape_of(value), dtype(value)) for value in values)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


FORMAT = Format("onnx", "ONNX (.onnx)", recognises, read)
