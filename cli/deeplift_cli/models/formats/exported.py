"""Programs saved by `torch.export.save` (.pt2)."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.exported import examined_archive, refuse_compiled_code
from deeplift_cli.models.foreign import told_in_one_line
from deeplift_cli.models.model_file import ModelFile, TensorSpec, batch_note, file_sha256
from deeplift_cli.models.registry import Candidate, Format

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

# Ops with a training flag, and where in their arguments it is.
_TRAINING_FLAG = {"aten.batch_norm.default": 5, "aten.dropout.default": 2, "aten.feature_dropout.default": 2}
# What these become when the program was decomposed in training mode: no flag left to clear.
_TRAINING_ONLY = {
    "aten.native_dropout.default",
    "aten._native_batch_norm_legit.default",
    "aten._native_batch_norm_legit_functional.default",
}
_VIEWS = {"aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"}


def recognises(candidate: Candidate) -> bool:
    """Whether the archive holds a serialised program."""
    names = candidate.members
    return "serialized_exported_program.json" in names or any(
        name.startswith("models/") and name.endswith(".json") for name in names
    )


def read(path: Path, *, allow_pickle: bool) -> ModelFile:
    """Load an exported program.

    Unless pickles are allowed, torch gets no more than what was examined.

    Its submodules get their names back where torch can tell them, ops are set to inference, and a batch size
    that was fixed by the example it was exported with is made free where the graph allows it.

    Raises
    ------
    UserError
        If the archive could run code, torch cannot load it, or the program was exported in training mode.
    """
    program = _load(path, allow_pickle)
    with told_in_one_line(f"torch.export file {path} cannot be made a module"):
        return _read(path, program)


def _read(path: Path, program: "ExportedProgram") -> ModelFile:
    notes = _set_inference(path, program)
    inputs, outputs = _specs(program)
    module = _module(program)
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape:
        module, batch = _settled(program, module, shape)
        inputs = (TensorSpec(inputs[0].name, (batch, *shape[1:]), inputs[0].dtype),)
        notes = notes if batch is None else (*notes, batch_note(batch))
    return ModelFile(module, "exported", path, file_sha256(path), inputs, outputs, notes)


def _load(path: Path, allow_pickle: bool) -> "ExportedProgram":
    import torch

    for name in ("torch.export", "torch._export"):  # they log what is told here in one line
        logging.getLogger(name).setLevel(logging.ERROR)
    refuse_compiled_code(path)
    file = str(path) if allow_pickle else examined_archive(path)
    with told_in_one_line(f"torch.export file {path} cannot be loaded by torch {torch.__version__}"):
        return torch.export.load(file)


def _set_inference(path: Path, program: "ExportedProgram") -> tuple[str, ...]:
    """Clear the training flags of dropout and batch norm in place; return a note where there were some."""
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
    """Return the program as a module: with its submodules where that gives them back, else as one graph."""
    import torch

    try:
        module: Any = torch.export.unflatten(program)
        module.check_input_constraints = guarded
    except (RuntimeError, AssertionError, KeyError, ValueError, TypeError, AttributeError):
        module = program.module(check_guards=guarded)  # unflatten is particular about shared submodules
    return _as_inference(module)


def _as_inference(module: Any) -> "nn.Module":
    module = module.float().requires_grad_(False)
    for part in module.modules():
        part.training = False  # exported modules refuse eval(): their ops' flags say it
    return module  # type: ignore[no-any-return]


def _settled(
    program: "ExportedProgram", module: "nn.Module", shape: tuple[int | None, ...]
) -> tuple["nn.Module", int | None]:
    """Check the module against the program itself, and free its batch size where possible."""
    from deeplift_cli.models.probing import (
        TOLERANCE,
        example_input,
        in_batches,
        largest_difference,
        outputs_of,
        settle_batch,
    )

    rows = shape[0] or 1
    x = example_input(module, shape, 2 * rows)
    if x is None:
        return module, shape[0]
    flat = _as_inference(program.module())
    expected, found = in_batches(flat, x, rows), outputs_of(module, x[:rows])
    first = [] if isinstance(expected, str) else [tensor[:rows] for tensor in expected]
    if isinstance(found, str) or largest_difference(found, first) > TOLERANCE:
        module = flat
    return settle_batch(module, lambda: _freed(program, rows), x, shape[0])


def _freed(program: "ExportedProgram", rows: int) -> "nn.Module":
    """Take the batch size out of the program's views and expands, and its guards off."""
    for node in program.graph.nodes:
        name = str(node.target)
        if name not in _VIEWS and name != "aten.expand.default":
            continue
        sizes, source = list(node.args[1]), node.args[0].meta["val"].shape
        if not sizes or sizes[0] != rows:
            continue
        if name in _VIEWS:  # all other axes are known, so the first can be worked out
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
