"""Heads of BPNet-like models: the output to which a head belongs, and the head's function of the output."""

import re
from collections.abc import Sequence

from deeplift_cli.errors import OptionsError
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.target_functions import MeanCounts, WeightedProfile
from deeplift_cli.options.targets import COUNTS, PER_TRACK, PROFILE

# Words in the names of outputs. "logcounts" is counts; ChromBPNet has logits_profile_predictions.
_SIGNS = {"counts": "count", "profile": "profile"}


def output_of_head(head: str, outputs: Sequence[TensorSpec], given: int | None) -> int:
    """Return the place of the output to which a head belongs.

    Parameters
    ----------
    head : str
    outputs : sequence of TensorSpec
        The model's outputs in order, with their names and shapes.
    given : int or None
        The output that the user chose.

    Raises
    ------
    OptionsError
        If no output or several outputs fit the head, or the chosen output has another shape.
    """
    place = _found(head, outputs) if given is None else given
    if place is None:
        raise OptionsError(
            f"--target {head}: no single output fits; the outputs are {_listed(outputs)}: say "
            "which with --output"
        )
    if not _fits(head, _shape(outputs[place])):
        raise OptionsError(
            f"--target {head} does not go with output {_listed([outputs[place]])}: it is taken of "
            f"{_wanted(head)}; the outputs are {_listed(outputs)}: say which with --output"
        )
    return place


def heads_of(outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return the heads of a BPNet-like model, each with the name of its output; empty for other models."""
    places = {head: _found(head, outputs) for head in (COUNTS, PROFILE)}
    if len(outputs) < 2 or None in places.values():
        return {}
    return {head: outputs[place].name for head, place in places.items() if place is not None}


def function_of_head(head: str, output: TensorSpec) -> MeanCounts | WeightedProfile:
    """Return the function of its output that a head computes.

    If the head explains single tracks, the axis of positions is the longer of two axes, or the last one.
    """
    if head == COUNTS:
        return MeanCounts()
    shape = _shape(output)
    if head != PER_TRACK or len(shape) == 1:
        return WeightedProfile()
    return WeightedProfile(1 if shape[0] > shape[1] else 2)


def with_bias_inside(model: ModelFile) -> str:
    """Return a note if the model holds a ChromBPNet's branch of the enzyme's bias; "" if it does not."""
    modules = [name for name, _ in model.module.named_modules()]
    weights = [*model.weights, *(name for name, _ in model.module.named_parameters())]
    # The last part of a weight's name says which of a layer's weights it is: "bias" in nearly every model.
    folders = [name.replace("/", ".").rpartition(".")[0] for name in weights]
    names = {part for name in (*modules, *folders) for part in re.split(r"[./]", name.lower())}
    bias = any(name == "bias" or "bias_model" in name or "bpnet_bias" in name for name in names)
    other = any("accessib" in name or "wo_bias" in name or "nobias" in name for name in names)
    if not (bias and other):
        return ""
    return (
        "warning: this ChromBPNet has its bias branch inside, so that scores explain the enzyme's bias, too; "
        "score chrombpnet_nobias instead (in the folder of ChromBPNet's models; in bpnet-lite the module "
        "model.accessibility)"
    )


def _found(head: str, outputs: Sequence[TensorSpec]) -> int | None:
    """Return the one output that has the head's name, or else its shape."""
    kind = COUNTS if head == COUNTS else "profile"
    named = [place for place, spec in enumerate(outputs) if _SIGNS[kind] in spec.name.lower()]
    if len(named) == 1:
        return named[0]
    # A profile [N, L] and counts [N, 1] both have two axes: an output with one element a row is counts.
    shapes = [_shape(spec) for spec in outputs]
    if len(shapes) > 1 and not any(len(shape) > 1 for shape in shapes):
        fitting = [place for place, shape in enumerate(shapes) if (sum(shape, 0) <= 1) == (kind == COUNTS)]
    else:
        fitting = [place for place, shape in enumerate(shapes) if _fits(head, shape, alone=len(shapes) == 1)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(head: str, shape: tuple[int, ...], *, alone: bool = True) -> bool:
    """Return whether a head can belong to an output of this shape, which does not include the batch.

    Parameters
    ----------
    alone : bool
        True if an output [N, L] may be a profile; false if there is a profile with tracks.
    """
    if head == COUNTS:
        return len(shape) < 2
    return len(shape) == 2 or (alone and len(shape) == 1 and shape[0] > 1)


def _wanted(head: str) -> str:
    return "log counts [N, k]" if head == COUNTS else "the logits of a profile, [N, k, L] or [N, L]"


def _shape(output: TensorSpec) -> tuple[int, ...]:
    return tuple(size or 0 for size in (output.shape or ())[1:])


def _listed(outputs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} [{', '.join(['N', *map(str, _shape(spec))])}]" for spec in outputs)
