"""Runs of a model on random sequences, to find properties that its file does not declare."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_cli.process.failures import is_about_memory, text_of
from deeplift_cli.process.signals import Stopped
from deeplift_core import DeepLiftError
from deeplift_core.capture import one_precision
from deeplift_core.capture.places import run_user_code

TOLERANCE = 1e-4  # allowed difference relative to the largest output
# Lengths to try if the model takes any length (its pooling may still need a multiple or a minimum).
LENGTHS = (512, 2048, 16384)


def one_hot(rows: int, length: int, seed: int = 0, letters: int = 4) -> Tensor:
    """Return random sequences, one-hot: float32 [rows, letters, length], the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(letters, (rows, length), generator=generator)
    return torch.nn.functional.one_hot(drawn, letters).transpose(1, 2).float()


def message_of(error: BaseException) -> str:
    """Return an exception's message, with its type if the message alone says too little ("'x'")."""
    telling = isinstance(
        error,
        RuntimeError | ValueError | IndexError | AssertionError | torch.jit.Error | DeepLiftError,
    )
    text = text_of(error)
    return text if telling and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def brief(problem: str, longest: int = 400) -> str:
    """Return the line of an error's message that names the problem (the last in TorchScript), shortened."""
    lines = [line.strip() for line in problem.splitlines() if line.strip()] or [""]
    line = next((line for line in reversed(lines) if "Error: " in line), lines[0])
    return line if len(line) <= longest else f"{line[:longest]}..."


def called(module: nn.Module, *inputs: Tensor) -> Any:
    """Run a module without gradients, and return what it returns.

    If a module fails because its code casts values to a half precision while its weights have the inputs'
    precision, the module is run again with all values in the inputs' precision, as in scoring.

    Raises
    ------
    Exception
        Any exception of the module's code or of its libraries.
    """
    with torch.no_grad():
        try:
            return run_user_code(module, *inputs)
        except Exception as error:
            if is_about_memory(error) or not inputs[0].is_floating_point():
                raise
            try:
                with one_precision(module, inputs[0].dtype):
                    return run_user_code(module, *inputs)
            except Exception as again:
                if is_about_memory(again):
                    raise
                raise error from None


def run(module: nn.Module, x: Tensor) -> tuple[Tensor, ...] | str:
    """Run a module without gradients; return its outputs, or the message of an exception of any kind.

    Raises
    ------
    MemoryError, torch.OutOfMemoryError, RuntimeError
        If there is not enough memory, which does not mean that `x` does not fit the module.
    KeyboardInterrupt, Stopped
        If the user stops the program.
    """
    try:
        return tuple(tensors_in(called(module, x)))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | Stopped) or is_about_memory(error):
            raise
        return message_of(error)


def outputs_of(module: nn.Module, x: Tensor) -> tuple[Tensor, ...] | str:
    """Run a module as `run` does; return a message, too, if there is no output or its rows are not x's."""
    tensors = run(module, x)
    if isinstance(tensors, str):
        return tensors
    if not tensors:
        return "it returned no tensor"
    wrong = [tuple(t.shape) for t in tensors if t.dim() == 0 or t.shape[0] != x.shape[0]]
    return f"{x.shape[0]} rows gave an output of shape {wrong[0]}" if wrong else tensors


def tensors_in(result: Any) -> list[Tensor]:
    """Return the tensors in what a module returned: a tensor, or a sequence or mapping of such results."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return [tensor for item in result for tensor in tensors_in(item)]
    return []


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between outputs, relative to each expected output's largest number.

    NaN equals NaN, and an infinity equals itself. The result is infinite if the numbers or shapes of outputs
    differ, or if one value is finite and the other is not.
    """
    if len(found) != len(expected):
        return float("inf")
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return float("inf")
        a, b = (x if x.is_floating_point() or x.is_complex() else x.double() for x in (a, b))
        differ = (a != b) & ~(a.isnan() & b.isnan())
        if not differ.any():
            continue
        numbers = b[b.isfinite()].abs()
        scale = max(float(numbers.max()) if numbers.numel() else 0.0, 1e-6)
        difference = float((a[differ] - b[differ]).abs().max()) / scale
        worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def in_batches(module: nn.Module, x: Tensor, rows: int) -> tuple[Tensor, ...] | str:
    """Run a module on x [N, ...] in batches of `rows`; return joined outputs, or the error's message."""
    parts = []
    for batch in torch.split(x, rows):
        part = outputs_of(module, batch)
        if isinstance(part, str):
            return part
        parts.append(part)
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def example_input(
    module: nn.Module, shape: tuple[int | None, ...], rows: int, dtype: str | None = None
) -> Tensor | None:
    """Return random sequences of the declared shape, or None if the input is no sequence.

    An axis of four or five letters makes the sequences one-hot along this axis. Integers [N, L] are small
    token ids. If the length is free, the sequences have a length on which the model runs; None if no such
    length is found.
    """
    free = [axis for axis, size in enumerate(shape) if size is None and axis > 0]
    holds_ids = dtype in ("int32", "int64") and len(shape) == 2
    letters = next((count for count in (4, 5) if count in shape[1:]), None)
    if len(free) > 1 or not (letters or holds_ids):
        return None
    for length in LENGTHS if free else LENGTHS[:1]:
        sizes = [rows, *(length if size is None else size for size in shape[1:])]
        if holds_ids:
            candidate = one_hot(rows, sizes[1]).argmax(1)
        else:
            assert letters is not None
            candidate = _one_hot_along(sizes, sizes.index(letters, 1))
        if not free or not isinstance(in_batches(module, candidate, shape[0] or 1), str):
            return candidate
    return None


def _one_hot_along(sizes: Sequence[int], axis: int) -> Tensor:
    """Return random letters of this shape, one-hot along an axis."""
    others = [size for place, size in enumerate(sizes) if place not in (0, axis)]
    x = one_hot(sizes[0], torch.Size(others).numel(), letters=sizes[axis])
    return x.reshape(sizes[0], sizes[axis], *others).movedim(1, axis).contiguous()


def settle_batch(
    module: nn.Module,
    freed: Callable[[], nn.Module | None],
    x: Tensor,
    declared: int | None,
) -> tuple[nn.Module, int | None]:
    """Test whether a model takes any number of rows, and make its number of rows free if possible.

    Parameters
    ----------
    module : nn.Module
        The model from its file.
    freed : callable
        Returns the model without the batch size in its graph; None if the conversion fails.
    x : Tensor
        Two batches of the declared number of rows (of one row if none is declared).
    declared : int or None

    Returns
    -------
    module : nn.Module
        The given module or the freed one.
    batch_size : int or None
        The number of rows of every batch; None if any number gives the same rows.
    """
    rows = declared or 1
    expected = in_batches(module, x, rows)
    if isinstance(expected, str):
        return module, declared
    if declared is None and _agrees(module, x, expected):
        return module, None
    candidate = freed()
    if candidate is not None and _agrees(candidate, x, expected):
        return candidate, None
    return module, rows


def _agrees(module: nn.Module, x: Tensor, expected: tuple[Tensor, ...]) -> bool:
    found = outputs_of(module, x)
    return not isinstance(found, str) and largest_difference(found, expected) <= TOLERANCE
