"""The inputs of a model by their names, and the message that asks for a value of each but the sequence."""

import inspect
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.options.further_inputs import as_options

if TYPE_CHECKING:
    from torch import nn

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def all_inputs(model: ModelFile) -> tuple[TensorSpec, ...]:
    """Return the inputs that the model needs, and after these the ones with a default in ``forward``."""
    needed = {spec.name for spec in model.inputs}
    if not needed or not needed <= set(parameters_of_forward(model.module)):
        return model.inputs
    more = (name for name in parameters_of_forward(model.module) if name not in needed)
    return (*model.inputs, *(TensorSpec(name, None, None) for name in more))


def parameters_of_forward(module: "nn.Module") -> tuple[str, ...]:
    """Return the parameters of ``forward`` that can be given by name."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        schema: Any = module.forward
        return tuple(item.name for item in schema.schema.arguments[1:])
    parameters = inspect.signature(module.forward).parameters.values()
    return tuple(item.name for item in parameters if item.kind in _BY_NAME)


def inputs_in_words(specs: Sequence[TensorSpec]) -> str:
    """Return names with shapes, such as "x [N, 4, any] and count [N, 1]"."""
    *others, last = [_in_words(spec) for spec in specs]
    return f"{', '.join(others)} and {last}" if others else last


def _in_words(spec: TensorSpec) -> str:
    if spec.shape is None:
        return f"{spec.name} (shape not declared)"
    free = ("N" if axis == 0 else "any" for axis in range(len(spec.shape)))
    sizes = (other if size is None else str(size) for size, other in zip(spec.shape, free, strict=True))
    return f"{spec.name} [{', '.join(sizes)}]"


def looks_like_sequence(spec: TensorSpec) -> bool:
    """Return whether the declared shape is one of one-hot sequences: an axis of 4 beside another."""
    shape = (spec.shape or ())[1:]
    return len(shape) > 1 and 4 in shape and "int" not in (spec.dtype or "")


def ask_for_values(model: ModelFile, given: Mapping[str, str], remaining: Collection[TensorSpec]) -> str:
    """Return one line that names all inputs, and the `--input` options that are missing.

    Parameters
    ----------
    model : ModelFile
        A model with several inputs.
    given : mapping of str to str
        The values that the user gave, by the names of inputs.
    remaining : collection of TensorSpec
        The inputs without a value, of which one is the sequence; several.
    """
    sequences = [spec for spec in remaining if looks_like_sequence(spec)]
    # Where several inputs look alike, the longest is the most likely to be the sequence of interest.
    sequence = max(sequences or list(remaining)[:1], key=_size)
    missing = tuple((spec.name, "zeros") for spec in remaining if spec is not sequence)
    line = f"{model.path} takes {len(model.inputs)} inputs: {inputs_in_words(model.inputs)}"
    if given:
        line += f", of which {', '.join(given)} {'has a value' if len(given) == 1 else 'have values'}"
    line += "; deeplift score explains one, the sequence, and needs values of the others"
    if sequences:
        names = ", ".join(spec.name for spec in sequences)
        line += f" (one-hot sequences by their shapes: {names})"
    words = shlex.join(as_options(missing))
    line += f": to explain {sequence.name}, add {words}, with zeros, a number or FILE.npy"
    if len(sequences) > 1 or sum(spec.shape is None for spec in remaining) > 1:
        every = ", ".join(spec.name for spec in model.inputs)
        line += (
            "; several sequences are explained together from Python, by "
            f"deeplift_core.DeepLift(model, ({every}))"
        )
    return line


def _size(spec: TensorSpec) -> int:
    size = 1
    for axis in (spec.shape or ())[1:]:
        size *= axis or 1
    return size
