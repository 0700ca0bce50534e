"""Runs of a model on random sequences, to find the values that are meant where no shapes are declared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from math import prod

from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models.batch_memory import SHORTER
from deeplift_cli.models.further_choices import shape_in_words
from deeplift_cli.models.further_values import FurtherValue
from deeplift_cli.models.layouts import IDS, IMAGES, SEQUENCES, Layout
from deeplift_cli.models.model_file import ModelFile
from deeplift_cli.models.probing import TOLERANCE, largest_difference, one_hot, outputs_of
from deeplift_cli.options.settings import ModelOptions

Values = dict[str, FurtherValue]
Choices = Mapping[str, Sequence[FurtherValue]]
# The most combinations of values of several inputs that are listed, and that are tried.
_MOST_LISTED, _MOST_TRIED = 100_000, 500


def values_that_run(
    options: ModelOptions,
    model: ModelFile,
    build: Callable[[Values], nn.Module],
    choices: Choices,
    lengths: Sequence[int],
) -> Values:
    """Return the values with which the model runs.

    Parameters
    ----------
    options : ModelOptions
    model : ModelFile
    build : callable
        Returns the model of the sequence alone, given values of the other inputs.
    choices : mapping of str to sequence of FurtherValue
        Possible values of each input, the likelier ones first.
    lengths : sequence of int
        Lengths of sequences to try.

    Raises
    ------
    UserError
        If the model runs with no values, or with several that give different outputs.
    """
    problem = ""
    # Two rows tell shapes apart that one row does not, but some models take one row only.
    numbers_of_rows = (2, 1) if model.batch_size is None else (model.batch_size,)
    for length, rows in product(lengths, numbers_of_rows):
        trial = _Trial(options, model, build, rows, min(length, SHORTER))
        for values in islice(_combinations(model, choices), _MOST_TRIED):
            outputs = trial(values)
            if not isinstance(outputs, str):
                _refuse_others(model, trial, choices, values, outputs)
                return values
            problem = problem or outputs
    tried = ", ".join(f"{length:,}" for length in lengths)
    raise UserError(
        f"{model.path} does not run on sequences of {tried} bp with any shape and type of input "
        f"{' and '.join(choices)} that was tried ({problem}); give FILE.npy, a value of the shape that the "
        "model takes or one for each record of the input"
    )


class _Trial:
    """Runs the model on random sequences, in each layout until the model has run in one."""

    def __init__(
        self,
        options: ModelOptions,
        model: ModelFile,
        build: Callable[[Values], nn.Module],
        rows: int,
        length: int,
    ) -> None:
        names = (*SEQUENCES, *IMAGES) if options.layout == "auto" else (options.layout,)
        if model.token_letters:
            names = (IDS,)
        self._layouts = [Layout(name, options.alphabet, options.encode_n) for name in names]
        self._model = model
        self._build = build
        self._x = one_hot(rows, length)

    def __call__(self, values: Values) -> tuple[Tensor, ...] | str:
        """Return the outputs, or the problem in the first layout."""
        problem = ""
        model = replace(self._model, module=self._build(values))
        for layout in self._layouts:
            outputs = outputs_of(layout.adapted(model).module, layout.to_model(self._x))
            if not isinstance(outputs, str):
                self._layouts = [layout]
                return outputs
            problem = problem or " ".join(outputs.split())
        return problem


def _combinations(model: ModelFile, choices: Choices) -> Iterator[Values]:
    """Yield a value for each input, likelier combinations first, and whole numbers after floating ones."""
    if prod(map(len, choices.values())) > _MOST_LISTED:
        raise UserError(
            f"{model.path} does not declare the shapes of its inputs, and there are too many to try; give "
            f"--input {' and '.join(choices)} as FILE.npy"
        )

    def order(places: tuple[int, ...]) -> tuple[int, int]:
        chosen = [values[place] for values, place in zip(choices.values(), places, strict=True)]
        return sum(value.dtype is not None for value in chosen), sum(places)

    for places in sorted(product(*map(range, map(len, choices.values()))), key=order):
        yield {name: choices[name][place] for name, place in zip(choices, places, strict=True)}


def _refuse_others(
    model: ModelFile, trial: _Trial, choices: Choices, values: Values, outputs: tuple[Tensor, ...]
) -> None:
    """Refuse values if the model also runs with another one of the same type, and gives other outputs."""
    for name, others in choices.items():
        for other in others:
            if other is values[name] or other.dtype != values[name].dtype:
                continue
            found = trial({**values, name: other})
            if not isinstance(found, str) and largest_difference(found, outputs) > TOLERANCE:
                raise UserError(
                    f"{model.path} runs with several shapes of input {name}, {_in_words(values[name])} and "
                    f"{_in_words(other)}, with different outputs; give FILE.npy of the shape that is meant"
                )


def _in_words(value: FurtherValue) -> str:
    return shape_in_words(value.shape) + (" for each record" if value.by_record else "")
