"""Reader of programs that were saved by `torch.export.save` (.pt2)."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.exported import examined_archive, refuse_compiled_code
from deeplift_cli.models.foreign import errors_in_one_line
from deeplift_cli.models.model_file import ModelFile, TensorSpec, batch_note, file_sha256
from deeplift_cli.models.registry import Candidate, Format

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

# Operations with a training flag, and the place of the flag in their arguments.
_TRAINING_FLAG = {"aten.batch_norm.default": 5, "aten.dropout.default": 2, "aten.feature_dropout.default": 2}
# The operations that these become if a program is decomposed in training mode; they have no flag to clear.
_TRAINING_ONLY = {
    "aten.native_dropout.default",
    "aten._native_batch_norm_legit.default",
    "aten._native_batch_norm_legit_functional.default",
}
_VIEWS = {"aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"}


def recognises(candidate: Candidate) -> bool:
    """Return whether the archive holds a serialised program."""
    names = candidate.members
    return "serialized_exported_program.json" in names or any(
        name.startswith("models/") and name.endswith(".json") for name in names
    )


def read(path: Path, *, allow_pickle: bool) -> ModelFile:
    """Load an exported program.

    Unless pickles are allowed, torch reads only content that was examined.

    Submodules get their names back if torch can restore them, operations are set to inference, and a batch
    size that the example of the export has fixed is made free if the graph allows it.

    Raises
    ------
    UserError
        If the archive could run code, torch cannot load it, or the program was exported in training mode.
    """
    program = _load(path, allow_pickle)
    with errors_in_one_line(f"torch.export file {path} cannot be made a module"):
        return _read(path, program)


def _read(path: Path, program: "ExportedProgram") -> ModelFile:
    notes = _set_inference(path, program)
    inputs, outputs = _specs(program)
    module = _module(program)
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape:
        module, batch = _settled(program, module, shape, inputs[0].dtype)
        inputs = (TensorSpec(inputs[0].name, (batch, *shape[1:]), inputs[0].dtype),)
        notes = notes if batch is None else (*notes, batch_note(batch))
    return ModelFile(module, "exported", path, file_sha256(path), inputs, outputs, notes)


def _load(path: Path, allow_pickle: bool) -> "ExportedProgram":
    import torch

    for name in ("torch.export", "torch._export"):  # these log errors that this function reports in one line
        logging.getLogger(name).setLevel(logging.ERROR)
    refuse_compiled_code(path)
    file = str(path) if allow_pickle else examined_archive(path)
    with errors_in_one_line(f"torch.export file {path} cannot be loaded by torch {torch.__version__}"):
        return torch.export.load(file)


def _set_inference(path: Path, program: "ExportedProgram") -> tuple[str, ...]:
    """Clear the training flags of dropout and batch norm in place; return a note if there were any."""
    changed = False
    for node in program.graph.nodes:
        name = str(node.target)
        if name in _TRAINING_ONLY:
            raise UserError(f"{path} was exported in training mode; call model.eval() before torch.export")
        index = _TRAINING_FLAG.get(name)
        if index is not None and len(node.args) > index and node.args[index] is True:
            node.update_arg(index, False)
            changed = True
    return (
        ("it was exported in training mode; dropout and batch norm are set to inference",) if changed else ()
    )


def _module(program: "ExportedProgram", *, guarded: bool = True) -> "nn.Module":
    """Return the program as a module: with its submodules if torch can restore them, else as one graph."""
    import torch

    try:
        module: Any = torch.export.unflatten(program)
        module.check_input_constraints = guarded
    except (RuntimeError, AssertionError, KeyError, ValueError, TypeError, AttributeError):
        module = program.module(check_guards=guarded)  # unflatten fails at some shared submodules
    return _as_inference(module)


def _as_inference(module: Any) -> "nn.Module":
    module = module.float().requires_grad_(False)
    for part in module.modules():
        part.training = False  # exported modules refuse eval(); the flags of their operations count
    return module  # type: ignore[no-any-return]


def _settled(
    program: "ExportedProgram", module: "nn.Module", shape: tuple[int | None, ...], dtype: str | None
) -> tuple["nn.Module", int | None]:
    """Compare the module with the program itself, and free its batch size if possible."""
    from deeplift_cli.models.probing import (
        TOLERANCE,
        example_input,
        in_batches,
        largest_difference,
        outputs_of,
        settle_batch,
    )

    rows = shape[0] or 1
    x = example_input(module, shape, 2 * rows, dtype)
    if x is None:
        return module, shape[0]
    flat = _as_inference(program.module())
    expected, found = in_batches(flat, x, rows), outputs_of(module, x[:rows])
    first = [] if isinstance(expected, str) else [tensor[:rows] for tensor in expected]
    if isinstance(found, str) or largest_difference(found, first) > TOLERANCE:
        module = flat
    return settle_batch(module, lambda: _freed(program, rows), x, shape[0])


def _freed(program: "ExportedProgram", rows: int) -> "nn.Module":
    """Remove the batch size from the program's views and expands, and remove its guards."""
    for node in program.graph.nodes:
        name = str(node.target)
        if name not in _VIEWS and name != "aten.expand.default":
            continue
        sizes, source = list(node.args[1]), node.args[0].meta["val"].shape
        if not sizes or sizes[0] != rows:
            continue
        if name in _VIEWS:  # all other axes are known, so -1 is allowed for the first
            node.update_arg(1, [-1, *node.meta["val"].shape[1:]])
        elif source[0] == rows and len(source) == len(sizes):
            node.update_arg(1, [-1, *sizes[1:]])
    return _module(program, guarded=False)


def _specs(program: "ExportedProgram") -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    names = program.graph_signature
    inputs = tuple(_spec(name, values.get(name)) for name in names.user_inputs if isinstance(name, str))
    outputs = tuple(_spec(name, values.get(name)) for name in names.user_outputs if isinstance(name, str))
    return inputs, outputs


def _spec(name: str, value: Any) -> TensorSpec:
    import torch

    if not isinstance(value, torch.Tensor):
        return TensorSpec(name, None, None)
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(name, shape, str(value.dtype).removeprefix("torch."))


FORMAT = Format("exported", "torch.export (.pt2)", recognises, read)
