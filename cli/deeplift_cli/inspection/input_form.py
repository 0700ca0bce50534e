"""Search for the layout and length of a model's input, with the reason for each."""

from deeplift_cli.errors import UserError
from deeplift_cli.inspection.findings import InputForm
from deeplift_cli.models import Layout, ModelFile, find_layout
from deeplift_cli.models.input_layout import SeveralLayoutsError, WrongLengthError, find_batch_size
from deeplift_cli.models.probing import LENGTHS, one_hot, outputs_of
from deeplift_cli.options.settings import InspectOptions


def find_form(options: InspectOptions, model: ModelFile) -> InputForm:
    """Find the layout and length of the model's input.

    Raises
    ------
    UserError
        If no layout fits, or several fit, or the model runs on none of the tried lengths.
    """
    if model.inputs and model.inputs[0].shape is not None:
        try:
            layout, only = find_layout(model, length=None, **options.layout_options)
        except UserError:  # several layouts or none fit the shape; a run of the model reports this
            return _by_running(options, model)
        reason = f"the only one that fits the declared shape of input {model.inputs[0]}"
        return _at_length(options, model, layout, reason, only)
    return _by_running(options, model)


def _at_length(
    options: InspectOptions, model: ModelFile, layout: Layout, reason: str, only: int | None
) -> InputForm:
    """Find the length for a layout that the file declares; the file may declare the length, too."""
    reason = _given(options) or reason
    if only is not None:
        if options.length not in (None, only):
            raise UserError(
                f"{model.path} does not take sequences of {options.length:,} bp; it takes {only:,} bp: "
                f"give --length {only}"
            )
        return InputForm(layout, reason, only, "as the file declares", takes_any_length=False)
    problem = ""
    for length in _lengths(options):
        problem = _problem_at(model, layout, length)
        if not problem:
            return InputForm(layout, reason, length, _tried(options), takes_any_length=True)
    tried = ", ".join(map(str, _lengths(options)))
    raise UserError(
        f"{model.path} does not run on sequences of {tried} bp ({problem}); give another --length"
    )


def _by_running(options: InspectOptions, model: ModelFile) -> InputForm:
    """Find layout and length by running the model on random sequences, if the file declares neither."""
    first: UserError | None = None
    for length in _lengths(options):
        try:
            form = _run_at(options, model, length)
            problem = _problem_at(model, form.layout, length)
            if not problem:
                return form
            first = first or UserError(f"{model.path} does not run on sequences of {length} bp: {problem}")
        except SeveralLayoutsError:
            raise
        except WrongLengthError as error:
            if options.length is not None:
                raise
            return _run_at(options, model, error.takes)
        except UserError as error:
            first = first or error
    assert first is not None
    if options.length is None:
        raise UserError(f"{first}; if its sequences have another length, give --length") from first
    raise first


def _run_at(options: InspectOptions, model: ModelFile, length: int) -> InputForm:
    layout, only = find_layout(model, length=length, **options.layout_options)
    reason = _given(options) or f"the only one in which the model runs on random sequences of {length} bp"
    found = "found by running the model" if options.length is None else "as --length says"
    return InputForm(layout, reason, length, _tried(options) if only is None else found, only is None)


def _given(options: InspectOptions) -> str:
    """Return the option that says which layout it is; "" if none does."""
    if options.layout != "auto":
        return "as --layout says"
    return "as --token-ids says" if options.token_ids else ""


def _lengths(options: InspectOptions) -> tuple[int, ...]:
    return LENGTHS if options.length is None else (options.length,)


def _tried(options: InspectOptions) -> str:
    return "as --length says" if options.length is not None else "chosen here; give yours with --length"


def _problem_at(model: ModelFile, layout: Layout, length: int) -> str:
    """Return why the model does not run on sequences of this length; "" if it does."""
    try:
        rows = find_batch_size(model, layout, length) or 1
    except UserError as error:
        return str(error)
    outputs = outputs_of(layout.adapted(model).module, layout.to_model(one_hot(rows, length)))
    if isinstance(outputs, str):
        return " ".join(outputs.split())
    # Models that crop positions which depend on padding have an empty output for short sequences.
    return "" if all(tensor.numel() for tensor in outputs) else "they are so short that an output is empty"
