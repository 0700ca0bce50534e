"""The values that an option `--input` can mean, by what the model's file declares of the input."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from deeplift_cli.errors import UserError
from deeplift_cli.models.further_values import FurtherValue, Shape
from deeplift_cli.models.input_arrays import are_whole, largest, open_array
from deeplift_cli.models.model_file import TensorSpec
from deeplift_cli.options.further_inputs import file_in, number_in
from deeplift_cli.options.settings import ModelOptions

# Sizes of the axis beside the positions, and of features, that are tried where a file declares no shape.
_CHANNELS = range(1, 9)


@dataclass(frozen=True)
class Taken:
    """What the model takes for one input.

    Attributes
    ----------
    name : str
    shape : tuple of (int or None), or None
        The shape of the value of one row, or of the whole batch; None if the file does not declare it.
    dtype : str or None
    has_rows : bool
        The value is False if the input has one value for the whole batch.
    """

    name: str
    shape: Shape | None
    dtype: str | None
    has_rows: bool

    @classmethod
    def of(cls, spec: TensorSpec, sequence: TensorSpec) -> "Taken":
        """Return what an input takes; it has rows if its first axis is declared like the sequence's."""
        rows = (sequence.shape or (None,))[0]
        has_rows = spec.shape is None or spec.shape[:1] == (rows,)
        shape = spec.shape if spec.shape is None or not has_rows else spec.shape[1:]
        return cls(spec.name, shape, spec.dtype, has_rows)


def possible_values(
    options: ModelOptions, spec: Taken, text: str, n_records: int | None
) -> Iterator[FurtherValue]:
    """Yield the values that fit what the file declares of an input; several where it declares no shape."""
    path, number = file_in(text), number_in(text)
    if path is None:
        assert number is not None
        for dtype in _types(spec, text, whole=number.is_integer()):
            for shape in _shapes_to_try() if spec.shape is None else (spec.shape,):
                yield FurtherValue(shape, number, dtype=dtype, has_rows=spec.has_rows)
        return
    values = open_array(path, spec.name)
    readings = list(_readings(spec, values.shape, n_records))
    if not readings:
        wanted = "" if spec.shape is None else f" of the shape {shape_in_words(spec.shape)}"
        rows = (
            "one row" if n_records is None else f"one row for each of the {n_records:,} records of the input"
        )
        further = (
            f", or {rows}, those that are skipped included" if n_records != 0 else ", not a row for each"
        )
        raise UserError(
            f"--input {spec.name}: {path} has the shape {shape_in_words(values.shape)}; it takes one value "
            f"for all records{wanted}{further}"
        )
    for dtype in _types(spec, text, whole=are_whole(values)):
        for shape, by_record in readings:
            if by_record and dtype is not None and not dtype.is_floating_point:
                _require_exact(options, spec, text, values)
            yield FurtherValue(shape, values, by_record, dtype, spec.has_rows)


def _readings(
    spec: Taken, shape: tuple[int, ...], n_records: int | None
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Yield the shape of one value, and whether each record has its own, as an array's shape can mean."""
    if _fits(shape, spec):
        yield shape, False
    if shape and spec.has_rows and n_records in (None, shape[0]) and _fits(shape[1:], spec):
        yield shape[1:], True


def _types(spec: Taken, text: str, *, whole: bool) -> tuple[torch.dtype | None, ...]:
    """Return the types that an input may have: floating in the precision of the sequence is None."""
    if spec.dtype is None:
        return (None, torch.int64) if whole else (None,)
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return (None,)
    if not whole:
        raise UserError(f"--input {spec.name}={text}: this input takes whole numbers ({spec.dtype})")
    return (dtype,)


def _require_exact(options: ModelOptions, spec: Taken, text: str, values: npt.NDArray[Any]) -> None:
    """Refuse whole numbers that would be rounded: rows pass through the precision of the computation."""
    most = round(2 / torch.finfo(getattr(torch, options.precision)).eps)
    if largest(values) > most:
        raise UserError(
            f"--input {spec.name}={text}: whole numbers above {most:,} are not exact in {options.precision}, "
            "in which rows are computed; give a higher --precision"
        )


def _fits(shape: tuple[int, ...], spec: Taken) -> bool:
    if spec.shape is None:
        return True
    return len(shape) == len(spec.shape) and all(
        n in (None, size) for n, size in zip(spec.shape, shape, strict=True)
    )


def _shapes_to_try() -> Iterator[Shape]:
    """Yield shapes of tracks [c, L] and [L, c], features [c], and a number; few channels are likelier."""
    yield ()
    for channels in _CHANNELS:
        yield from ((channels, None), (channels,), (None, channels))


def shape_in_words(shape: Shape) -> str:
    return (
        f"[{', '.join('any' if size is None else str(size) for size in shape)}]" if shape else "of a number"
    )
