"""Values for the inputs of a model that are not the sequence, as `--input` gives them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.models.batch_memory import SHORTER
from deeplift_cli.models.further_values import FurtherValue, Shape, WithFurtherInputs
from deeplift_cli.models.input_arrays import are_whole, largest, open_array
from deeplift_cli.models.input_layout import LAYOUTS, Layout
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.named_inputs import (
    all_inputs,
    ask_for_values,
    inputs_in_words,
    parameters_of_forward,
)
from deeplift_cli.models.probing import TOLERANCE, largest_difference, one_hot, outputs_of
from deeplift_cli.options.further_inputs import FurtherInput, as_options, file_in, number_in
from deeplift_cli.options.settings import ModelOptions, ScoreOptions

# Sizes of the axis beside the positions, and of features, that are tried where a file declares no shape.
_CHANNELS = range(1, 9)
# The most combinations of shapes and types that are tried.
_MOST_TRIALS = 400


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
        Number of records of the input file; None where it is not known.

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
    choices = {name: list(_choices(options, known[name], value, n_records)) for name, value in given.items()}
    build = _Builder(model, remaining[0].name)
    if all(len(found) == 1 for found in choices.values()):
        values = {name: found[0] for name, found in choices.items()}
    else:
        values = _by_trial(options, build, choices, lengths(), n_records)
    _check_options(options, values)
    order = [spec.name for spec in known.values() if spec.name in values]
    by_record = tuple(values[name] for name in order if values[name].by_record)
    further = FurtherInputs(options.further_inputs, tuple(known.values()), by_record)
    in_order = {name: values[name] for name in order}
    return replace(model, module=build(in_order), inputs=(remaining[0],), further=further)


class _Builder:
    """Makes the module of the sequence alone, given the values of the other inputs."""

    def __init__(self, model: ModelFile, sequence: str) -> None:
        self.model = model
        self._sequence = sequence
        self._names = [spec.name for spec in model.inputs]
        self._by_name = set(self._names) <= set(parameters_of_forward(model.module))

    def __call__(self, values: Mapping[str, FurtherValue]) -> WithFurtherInputs:
        module = self.model.module
        return WithFurtherInputs(module, self._names, self._sequence, values, by_name=self._by_name)


# ---- the values that an option can mean


def _choices(
    options: ModelOptions, spec: TensorSpec, text: str, n_records: int | None
) -> Iterator[FurtherValue]:
    """Yield the values that fit what the file declares of an input; several where it declares no shape."""
    path, number = file_in(text), number_in(text)
    if path is None:
        assert number is not None
        for dtype in _types(spec, text, whole=number.is_integer()):
            for shape in _shapes_to_try() if spec.shape is None else (spec.shape[1:],):
                yield FurtherValue(shape, number, dtype=dtype)
        return
    values = open_array(path, spec.name)
    readings = list(_readings(spec, values.shape, n_records))
    if not readings:
        wanted = "" if spec.shape is None else f" of the shape {_shape_in_words(spec.shape[1:])}"
        rows = (
            "one row" if n_records is None else f"one row for each of the {n_records:,} records of the input"
        )
        raise UserError(
            f"--input {spec.name}: {path} has the shape {_shape_in_words(values.shape)}; it takes one value "
            f"for all records{wanted}, or {rows}, those that are skipped included"
        )
    for dtype in _types(spec, text, whole=are_whole(values)):
        for shape, by_record in readings:
            if by_record and dtype is not None and not dtype.is_floating_point:
                _require_exact(options, spec, text, values)
            yield FurtherValue(shape, values, by_record, dtype)


def _readings(
    spec: TensorSpec, shape: tuple[int, ...], n_records: int | None
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Yield the shape of one value, and whether each record has its own, as an array's shape can mean."""
    if _fits(shape, spec):
        yield shape, False
    if shape and n_records in (None, shape[0]) and _fits(shape[1:], spec):
        yield shape[1:], True


def _types(spec: TensorSpec, text: str, *, whole: bool) -> tuple[torch.dtype | None, ...]:
    """Return the types that an input may have: floating in the precision of the sequence is None."""
    if spec.dtype is None:
        return (None, torch.int64) if whole else (None,)
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return (None,)
    if not whole:
        raise UserError(f"--input {spec.name}={text}: this input takes whole numbers ({spec.dtype})")
    return (dtype,)


def _require_exact(options: ModelOptions, spec: TensorSpec, text: str, values: npt.NDArray[Any]) -> None:
    """Refuse whole numbers that would be rounded: rows pass through the precision of the computation."""
    most = round(2 / torch.finfo(getattr(torch, options.precision)).eps)
    if largest(values) > most:
        raise UserError(
            f"--input {spec.name}={text}: whole numbers above {most:,} are not exact in {options.precision}, "
            "in which rows are computed; give a higher --precision"
        )


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if spec.shape is None:
        return True
    wanted = spec.shape[1:]
    return len(shape) == len(wanted) and all(n in (None, size) for n, size in zip(wanted, shape, strict=True))


def _shapes_to_try() -> Iterator[Shape]:
    """Yield shapes of tracks [c, L] and [L, c], features [c], and a number."""
    yield from ((channels, None) for channels in _CHANNELS)
    yield from ((None, channels) for channels in _CHANNELS)
    yield from ((channels,) for channels in _CHANNELS)
    yield ()


def _shape_in_words(shape: Shape) -> str:
    return (
        f"[{', '.join('any' if size is None else str(size) for size in shape)}]" if shape else "of a number"
    )


# ---- trial


def _by_trial(
    options: ModelOptions,
    build: _Builder,
    choices: Mapping[str, Sequence[FurtherValue]],
    lengths: Sequence[int],
    n_records: int | None,
) -> dict[str, FurtherValue]:
    """Return the values with which the model runs on random sequences.

    Raises
    ------
    UserError
        If it runs with none, or with several that give different outputs.
    """
    path = build.model.path
    combinations = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    # Whole numbers are tried only where the model does not take floating ones.
    combinations.sort(key=lambda values: sum(value.dtype is not None for value in values.values()))
    if len(combinations) > _MOST_TRIALS:
        raise UserError(
            f"{path} does not declare the shapes of its inputs, and there are too many to try; give --input "
            f"{' and '.join(choices)} as FILE.npy"
        )
    problem = ""
    # Two rows tell shapes apart that one row does not, but some models take one row only.
    numbers_of_rows = (2, 1) if build.model.batch_size is None else (build.model.batch_size,)
    for length, rows in product(lengths, numbers_of_rows):
        found, first = _running(options, build, combinations, rows, min(length, SHORTER))
        problem = problem or first
        if not found:
            continue
        values, outputs = found[0]
        for other, others in found[1:]:
            if largest_difference(others, outputs) > TOLERANCE:
                raise UserError(
                    f"{path} runs with several shapes of its inputs ({_listed(values)}; {_listed(other)}), "
                    "with different outputs; give FILE.npy for each, of the shape that is meant"
                )
        return values
    tried = ", ".join(f"{length:,}" for length in lengths)
    given = " ".join(as_options(options.further_inputs))
    raise UserError(
        f"{path} does not run with {given} on sequences of {tried} bp, in any of the {len(combinations)} "
        f"shapes and types tried ({problem}); give FILE.npy, a value of the shape that the model takes or "
        f"one for each record of the input{'' if n_records is None else f', which has {n_records:,}'}"
    )


Outputs = tuple[Tensor, ...]


def _running(
    options: ModelOptions,
    build: _Builder,
    combinations: Sequence[dict[str, FurtherValue]],
    rows: int,
    length: int,
) -> tuple[list[tuple[dict[str, FurtherValue], Outputs]], str]:
    """Return the values with which the model runs, with its outputs, and the first problem of the others."""
    names = LAYOUTS if options.layout == "auto" else (options.layout,)
    layouts = [Layout(name, options.alphabet) for name in names]
    found = list[tuple[dict[str, FurtherValue], Outputs]]()
    problem, kinds = "", None
    for values in combinations:
        kind = sum(value.dtype is not None for value in values.values())
        if kinds is not None and kind > kinds:
            break
        module = build(values)
        for layout in layouts:
            x = layout.to_model(one_hot(rows, length))
            outputs = outputs_of(module, x)
            if isinstance(outputs, str):
                problem = problem or " ".join(outputs.split())
                continue
            found.append((values, outputs))
            layouts, kinds = [layout], kind
            break
    return found, problem


def _listed(values: Mapping[str, FurtherValue]) -> str:
    return ", ".join(
        f"{name} {_shape_in_words(value.shape)}{' for each record' if value.by_record else ''}"
        for name, value in values.items()
    )


# ---- options


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
