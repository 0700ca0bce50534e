"""The outputs of a model from a run of the model: their names, shapes and types."""

from collections.abc import Iterable

from torch import Tensor

from deeplift_cli.errors import UserError
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.probing import called, tensors_in
from deeplift_cli.process.failures import is_about_memory


def output_specs(model: ModelFile, batch: tuple[Tensor, ...]) -> list[TensorSpec]:
    """Run the model and return every output, with the name that the file or the model gives.

    Raises
    ------
    UserError
        If the model does not run on this batch.
    """
    try:
        result = called(model.module, *batch)
    except Exception as error:
        if is_about_memory(error):
            raise
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in batch)
        raise UserError(f"{model.path} does not run on inputs of shapes {shapes}: {error}") from error
    tensors = tensors_in(result)
    names: Iterable[str] = map(str, range(len(tensors)))
    if isinstance(result, dict) and len(result) == len(tensors):
        names = map(str, result)
    if len(model.outputs) == len(tensors):
        names = (spec.name for spec in model.outputs)
    rows = batch[0].shape[0]
    return [
        TensorSpec(name, _free(model, tensor, rows), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in zip(names, tensors, strict=True)
    ]


def _free(model: ModelFile, tensor: Tensor, rows: int) -> tuple[int | None, ...]:
    """Return the shape of an output; the number of rows is free if it is that of the batch."""
    shape: tuple[int | None, ...] = tuple(tensor.shape)
    return (model.batch_size, *shape[1:]) if shape[:1] == (rows,) else shape
