"""Inputs to run a model with, and the shapes that they turn out to have."""

import torch
from torch import Tensor

from deeplift_cli.errors import UserError
from deeplift_cli.inspection.findings import InputForm
from deeplift_cli.models import ModelFile, TensorSpec
from deeplift_cli.models.layouts import IDS
from deeplift_cli.models.probing import LENGTHS, called, one_hot
from deeplift_cli.process.failures import is_about_memory

_EXAMPLE = "deeplift_core.DeepLift(model, example=(...)).nodes shows its operations in Python"


def input_specs(model: ModelFile, form: InputForm) -> list[TensorSpec]:
    """Return the model's inputs; a run of the model adds what the file does not declare of the sequence."""
    declared = model.inputs[0] if model.inputs else TensorSpec("0", None, None)
    shape = declared.shape
    if shape is None:
        length = None if form.takes_any_length else form.length
        shape = (model.batch_size, *form.layout.row_shape(length))
    kind = "int64" if form.layout.name == IDS else "float32"
    sequence = TensorSpec(declared.name, shape, declared.dtype or kind)
    every = (declared,) if model.further is None else model.further.inputs
    return [sequence if spec.name == declared.name else spec for spec in every]


def random_inputs(model: ModelFile, rows: int, length: int | None) -> tuple[Tensor, ...]:
    """Return random rows for each of several inputs: one-hot along an axis of 4, or else normal numbers.

    Raises
    ------
    UserError
        If the file declares too little to make the inputs, or the model does not run on them.
    """
    rows = model.batch_size or rows
    batch = []
    for seed, spec in enumerate(model.inputs):
        if spec.shape is None:
            raise UserError(
                f"its operations are not shown: {model.path} does not declare the shape of input "
                f"{spec.name!r}; {_EXAMPLE}"
            )
        sizes = [size or length or LENGTHS[0] for size in spec.shape[1:]]
        batch.append(_random(rows, sizes, seed))
    try:
        called(model.module, *batch)
    except Exception as error:
        if is_about_memory(error):
            raise
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        raise UserError(
            f"its operations are not shown: it does not run on random inputs of shapes {shapes} ({error}); "
            f"{_EXAMPLE}"
        ) from error
    return tuple(batch)


def _random(rows: int, sizes: list[int], seed: int) -> Tensor:
    if 4 not in sizes:
        return torch.randn(rows, *sizes, generator=torch.Generator().manual_seed(seed))
    axis = sizes.index(4)
    others = sizes[:axis] + sizes[axis + 1 :]
    x = one_hot(rows, torch.Size(others).numel(), seed).reshape(rows, 4, *others)
    return x.movedim(1, axis + 1).contiguous()
