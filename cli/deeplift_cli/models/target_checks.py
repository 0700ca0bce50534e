"""What is said of the targets of a recorded model, and which targets are refused."""

from deeplift_cli.errors import OptionsError
from deeplift_cli.models.target_functions import terms_of
from deeplift_cli.models.targets import ModelTargets
from deeplift_cli.options.targets import Element
from deeplift_core import DeepLift

_TARGETS_SHOWN = 5


def check_not_zero(explainer: DeepLift, targets: ModelTargets) -> None:
    """Refuse means and sums over all classes of a centred softmax.

    Raises
    ------
    OptionsError
    """
    for spec, output, target in zip(targets.specs, targets.outputs, targets.for_core, strict=True):
        terms = terms_of(target)
        if not any(term.function in ("mean", "sum") for term in terms):
            continue
        axis = explainer.centred_axis(target)
        shape = explainer.shape_of(target)
        if axis is None:
            continue
        for term in terms:
            if term.function in ("mean", "sum") and term.covers(shape, axis):
                raise OptionsError(
                    f"--target {spec}: {term.text} is 0 for every sequence, for the mean over the classes of "
                    f"output {output}'s softmax (axis {axis}) is subtracted from each; give --no-centre"
                )


def targets_in_words(explainer: DeepLift, targets: ModelTargets) -> str:
    """Say which targets there are, and what is done to the output before."""
    names = [str(spec) for spec in targets.specs]
    more = f" and {len(names) - _TARGETS_SHOWN:,} more" if len(names) > _TARGETS_SHOWN else ""
    text = ", ".join(names[:_TARGETS_SHOWN]) + more
    if len(set(targets.outputs)) == 1 and targets.outputs[0] != 0:
        text += f" of output {targets.outputs[0]}"
    if explainer.explains_logit and targets.weights_of is None:
        text += ", before the final sigmoid or softmax"
        axis = explainer.centred_axis(targets.for_core[0])
        if axis is not None:
            text += f", less the mean over its classes (axis {axis})"
            two = explainer.shape_of(targets.for_core[0])[axis - 1] == 2
            elements = all(isinstance(spec, Element) for spec in targets.specs)
            text += ": half the log-odds of two classes" if two and elements else ""
    return text
