"""The models of variants: they are read as for `deeplift score`, and decide the width of the windows."""

from dataclasses import fields

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.inspection.input_form import find_form
from deeplift_cli.models import ModelFile
from deeplift_cli.models.fold_mean import LoadedModel, read_models
from deeplift_cli.options.settings import InspectOptions, ModelOptions
from deeplift_cli.options.targets import FIXED_WEIGHTS
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.process.screen import Screen


def read_models_of_variants(options: VariantOptions, screen: Screen) -> tuple[LoadedModel, ...]:
    """Read all models, and find out what the targets are for each.

    Raises
    ------
    UserError, OptionsError
        As `read_models`; or if the target does not go with variants.
    """
    models = read_models(options, screen, lambda model: window_length(options, model), 0)
    for model in models:
        if model.targets.weights_of is not None:
            raise OptionsError(
                f"--target {FIXED_WEIGHTS} holds the weights of each allele's own profile, so that its "
                "values for two alleles cannot be compared; take --target profile"
            )
    return models


def window_length(options: VariantOptions, model: ModelFile) -> int:
    """Return the length of the windows: the only one that the model takes, or that of `--length`.

    Raises
    ------
    UserError
        If the model takes any length and `--length` is not given, or does not take that length.
    """
    if len(model.inputs) > 1:  # its further inputs have no values yet
        if options.length is None:
            raise UserError(
                f"{model.path} does not declare what its inputs beside the sequence take: give the length of "
                "its sequences with --length L, with which they are tried"
            )
        return options.length
    shared = {item.name: getattr(options, item.name) for item in fields(ModelOptions)}
    form = find_form(InspectOptions(**shared | {"targets": (), "length": options.length}), model)
    if form.takes_any_length and options.length is None:
        raise UserError(
            f"{model.path} takes sequences of any length: give the width of the windows with --length L"
        )
    return form.length
