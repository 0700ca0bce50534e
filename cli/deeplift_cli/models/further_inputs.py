"""Values for the inputs of a model that are not the sequence, as `--input` gives them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.models.further_choices import Taken, possible_values
from deeplift_cli.models.further_trial import values_that_run
from deeplift_cli.models.further_values import FurtherValue, WithFurtherInputs
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.named_inputs import (
    all_inputs,
    ask_for_values,
    inputs_in_words,
    parameters_of_forward,
)
from deeplift_cli.options.further_inputs import FurtherInput
from deeplift_cli.options.settings import ModelOptions, ScoreOptions


@dataclass(frozen=True, eq=False)
class FurtherInputs:
    """The inputs of a model that have values of their own.

    Attributes
    ----------
    given : tuple of (str, str)
        Names and values as the user wrote them.
    inputs : tuple of TensorSpec
        All inputs of the model as its file declares them.
    by_record : tuple of FurtherValue
        The values that differ by record, in the order in which the module takes them after the sequence.
    """

    given: tuple[FurtherInput, ...]
    inputs: tuple[TensorSpec, ...]
    by_record: tuple[FurtherValue, ...]

    def rows(self, records: Sequence[int] | npt.NDArray[np.integer[Any]]) -> tuple[Tensor, ...]:
        """Return the values of records, by their numbers in the input file: a tensor [N, ...] for each."""
        return tuple(value.rows(np.asarray(records)) for value in self.by_record)

    @property
    def n_records(self) -> int:
        """The number of records for which there are values; 1 if all records share them."""
        return min((value.n_records for value in self.by_record), default=1)

    def example(self, rows: int) -> tuple[Tensor, ...]:
        """Return the values of the first records, repeated where there are fewer."""
        return self.rows(np.arange(rows) % self.n_records)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.given)


def with_further_inputs(
    options: ModelOptions, model: ModelFile, lengths: Callable[[], Sequence[int]], n_records: int | None
) -> ModelFile:
    """Give the inputs that are not the sequence their values, so that the model takes the sequence alone.

    Parameters
    ----------
    options : ModelOptions
    model : ModelFile
    lengths : callable
        Lengths of sequences, with which the model is tried where its file does not declare shapes.
    n_records : int or None
        Number of records of the input file; None where it is not known, 0 where values cannot differ by
        record.

    Returns
    -------
    ModelFile
        The model given, if it takes the sequence alone.

    Raises
    ------
    UserError
        If an input has no value or a name is no input's, or if values do not fit the model or the records.
    OptionsError
        If options do not go with values that differ by position or by record.
    """
    given = dict(options.further_inputs)
    if not given:
        if len(model.inputs) > 1:
            raise UserError(ask_for_values(model, {}, model.inputs))
        return model
    known = {spec.name: spec for spec in all_inputs(model)}
    for name in given:
        if name not in known:
            names = (
                f"it takes {inputs_in_words(list(known.values()))}" if known else "its file names no inputs"
            )
            raise UserError(f"--input {name}: {model.path} has no input of this name; {names}")
    remaining = [spec for spec in model.inputs if spec.name not in given]
    if not remaining:
        raise UserError(
            f"{model.path}: every input has a value by --input, and one is the sequence, which takes none; "
            f"leave that one out (the inputs are {inputs_in_words(list(known.values()))})"
        )
    if len(remaining) > 1:
        raise UserError(ask_for_values(model, given, remaining))
    choices = {
        name: list(possible_values(options, Taken.of(known[name], remaining[0]), value, n_records))
        for name, value in given.items()
    }
    build = _Builder(model, remaining[0].name)
    if all(len(found) == 1 for found in choices.values()):
        values = {name: found[0] for name, found in choices.items()}
    else:
        values = values_that_run(options, model, build, choices, lengths())
    _check_options(options, values)
    order = [spec.name for spec in known.values() if spec.name in values]
    by_record = tuple(values[name] for name in order if values[name].by_record)
    further = FurtherInputs(options.further_inputs, tuple(known.values()), by_record)
    in_order = {name: values[name] for name in order}
    return replace(model, module=build(in_order), inputs=(remaining[0],), further=further)


class _Builder:
    """Makes the module of the sequence alone, given the values of the other inputs."""

    def __init__(self, model: ModelFile, sequence: str) -> None:
        self._module = model.module
        self._sequence = sequence
        self._names = [spec.name for spec in model.inputs]
        self._by_name = set(self._names) <= set(parameters_of_forward(model.module))

    def __call__(self, values: Mapping[str, FurtherValue]) -> WithFurtherInputs:
        return WithFurtherInputs(self._module, self._names, self._sequence, values, by_name=self._by_name)


def _check_options(options: ModelOptions, values: Mapping[str, FurtherValue]) -> None:
    """Refuse options that do not go with the values.

    Raises
    ------
    OptionsError
    """
    if not isinstance(options, ScoreOptions):
        return
    turned = "--rc-average" if options.rc_average else "--strand-aware" if options.strand_aware else ""
    for name, value in values.items():
        size = np.prod([n or 0 for n in value.shape], dtype=int)
        if turned and isinstance(value.content, np.ndarray) and size != 1:
            raise OptionsError(
                f"{turned} does not go with --input {name}=FILE.npy: sequences are reverse complemented, and "
                f"how the {size:,} values of {name} follow is not known; zeros and numbers are the same for "
                "both strands"
            )
    if options.compile == "on" and any(value.by_record for value in values.values()):
        raise OptionsError("--compile on does not go with --input values that differ by record; leave it out")
