"""The model, or the models of several folds, that score variants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.inspection.input_form import find_form
from deeplift_cli.models import ModelFile
from deeplift_cli.models.explainer import Explained, explain, model_errors, read_model
from deeplift_cli.models.targets import ModelTargets, find_targets
from deeplift_cli.options.settings import InspectOptions
from deeplift_cli.options.targets import FIXED_WEIGHTS
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.steps import step


@dataclass(frozen=True)
class VariantModel:
    """One model file, the targets in it, and the length of its sequences.

    Attributes
    ----------
    options : VariantOptions
        The options, with this model as `model`.
    file : ModelFile
    length : int
        L in bp.
    targets : ModelTargets
    """

    options: VariantOptions
    file: ModelFile
    length: int
    targets: ModelTargets


def read_models(options: VariantOptions, screen: Screen) -> list[VariantModel]:
    """Read all model files, and find their targets and the length of their sequences.

    Raises
    ------
    UserError
        If a file cannot be used, or the models differ in their length or targets.
    OptionsError
        If the targets cannot be meant.
    """
    models = [_read(replace(options, model=path), screen) for path in options.models]
    first = models[0]
    for other in models[1:]:
        if other.length != first.length:
            raise UserError(
                f"{first.options.model} takes sequences of {first.length:,} bp, {other.options.model} of "
                f"{other.length:,} bp; folds must take one length"
            )
        if other.targets.specs != first.targets.specs:
            raise UserError(
                f"--target means {len(first.targets.specs):,} target(s) in {first.options.model}, and others "
                f"in {other.options.model}; folds must have the same outputs"
            )
    return models


def _read(options: VariantOptions, screen: Screen) -> VariantModel:
    with step("reading the model", options.model):
        file = read_model(options, screen)
        with model_errors(options):
            length = _length(options, file)
            targets = find_targets(options, file, lambda: length)
    if targets.weights_of is not None:
        raise OptionsError(
            f"--target {FIXED_WEIGHTS} holds the weights of each allele's own profile, so that its values "
            "for two alleles cannot be compared; take --target profile"
        )
    return VariantModel(options, file, length, targets)


def _length(options: VariantOptions, model: ModelFile) -> int:
    """Return the length of the windows: the only one that the model takes, or that of `--length`.

    Raises
    ------
    UserError
        If the model takes any length and `--length` is not given, or does not take that length.
    """
    form = find_form(
        InspectOptions(
            model=options.model, layout=options.layout, alphabet=options.alphabet, length=options.length
        ),
        model,
    )
    if form.takes_any_length and options.length is None:
        raise UserError(
            f"{options.model} takes sequences of any length: give the width of the windows with --length L"
        )
    return form.length


def joint_digest(models: Sequence[VariantModel]) -> str:
    """Return the digest of the only model, or one of all models in their order."""
    digests = [model.file.sha256 for model in models]
    return digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode()).hexdigest()


def explain_all(
    models: Sequence[VariantModel],
    n_variants: int,
    decisions: Mapping[str, Any],
    screen: Screen,
) -> list[Explained]:
    """Record all models, for batches of one size.

    Parameters
    ----------
    models : sequence of VariantModel
    n_variants : int
    decisions : mapping
        The batch size and the choice to compile that an earlier run made, which become options.
    screen : Screen

    Raises
    ------
    UserError
        If a model cannot be recorded.
    """
    explained = list[Explained]()
    for model in models:
        explained.append(_explain(model, n_variants, decisions, screen))
        decisions = decisions_of(explained)
    return explained


def decisions_of(explained: Sequence[Explained]) -> dict[str, Any]:
    """Return the batch size and the choice to compile, as options that make the same choices."""
    first = explained[0]
    return {"batch_size": first.batch_size, "compile": "on" if first.is_compiled else "off"}


def _explain(model: VariantModel, n_variants: int, decisions: Mapping[str, Any], screen: Screen) -> Explained:
    options = replace(model.options, targets=model.targets.specs, **decisions)
    with step("recording the model", options.model):
        explained = explain(options, model.file, model.targets, lambda: model.length, n_variants, screen)
    if explained.length != model.length:
        raise UserError(
            f"{options.model} takes sequences of {explained.length:,} bp only, not the {model.length:,} bp "
            f"of --length; give --length {explained.length}, or leave it out"
        )
    return explained
