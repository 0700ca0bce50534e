"""The layout of a model's input: its axis of bases, their order, and the length of the sequences."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deeplift_cli.errors import UserError
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.named_inputs import ask_for_values

if TYPE_CHECKING:
    from torch import Tensor

BASES = "ACGT"
# The axis of size 4, and the axis of size 1 in two-dimensional models.
_CHANNEL_AXIS = {"ncl": 1, "nlc": 2, "nc1l": 1, "ncl1": 1}
_UNIT_AXIS = {"ncl": None, "nlc": None, "nc1l": 2, "ncl1": 3}
LAYOUTS = tuple(_CHANNEL_AXIS)
# Numbers of rows to try if the file declares none: any, one, then usual fixed batch sizes.
_ROWS = (3, 1, 2, 4, 8, 16, 32, 64, 128)


class WrongLengthError(UserError):
    """The model does not take sequences of the given length.

    Attributes
    ----------
    takes : int
        The length that the model takes.
    """

    def __init__(self, message: str, takes: int) -> None:
        super().__init__(message)
        self.takes = takes


class SeveralLayoutsError(UserError):
    """The model runs on input in several layouts.

    Attributes
    ----------
    fitting : list of str
        The names of these layouts.
    """

    def __init__(self, message: str, fitting: list[str]) -> None:
        super().__init__(message)
        self.fitting = fitting


@dataclass(frozen=True)
class Layout:
    """The order of axes and bases in a model's one-hot input.

    Attributes
    ----------
    name : str
        "ncl" [N, 4, L], "nlc" [N, L, 4], "nc1l" [N, 4, 1, L] or "ncl1" [N, 4, L, 1].
    alphabet : str
        The base of each of the model's channels, in order.
    """

    name: str
    alphabet: str = BASES

    def __post_init__(self) -> None:
        if self.name not in _CHANNEL_AXIS:
            raise UserError(f"unknown layout {self.name!r}; --layout takes auto, {', '.join(LAYOUTS)}")
        letters = self.alphabet.upper().replace("U", "T")
        if sorted(letters) != sorted(BASES):
            raise UserError(
                f"alphabet {self.alphabet!r} is not the letters A, C, G and T in the model's order"
            )
        object.__setattr__(self, "alphabet", letters)

    @property
    def channel_axis(self) -> int:
        """The axis of 4 in the model's input [N, ...]."""
        return _CHANNEL_AXIS[self.name]

    def to_model(self, x: "Tensor") -> "Tensor":
        """Bring x [..., 4, L] in the order ACGT into the model's layout and channel order."""
        if self.alphabet != BASES:
            x = x[..., [BASES.index(letter) for letter in self.alphabet], :]
        if self.name == "nlc":
            return x.transpose(-1, -2)
        unit = _UNIT_AXIS[self.name]
        return x if unit is None else x.unsqueeze(unit - 4)

    def from_model(self, x: "Tensor") -> "Tensor":
        """Bring a tensor in the model's layout back to [..., 4, L] in the order ACGT."""
        unit = _UNIT_AXIS[self.name]
        if self.name == "nlc":
            x = x.transpose(-1, -2)
        elif unit is not None:
            x = x.squeeze(unit - 4)
        return x if self.alphabet == BASES else x[..., [self.alphabet.index(letter) for letter in BASES], :]


def find_layout(
    model: ModelFile, *, layout: str = "auto", alphabet: str = BASES, length: int | None
) -> tuple[Layout, int | None]:
    """Find the layout of a model's input and the length of its sequences.

    If the file does not declare the shape of its input, or several layouts fit the shape, the model is run
    once on random sequences in each layout.

    Parameters
    ----------
    model : ModelFile
    layout : str
        "auto", or one of `LAYOUTS`.
    alphabet : str
        The model's channel order.
    length : int or None
        The length of the sequences to score, for runs of the model; not needed if the file declares the
        shape.

    Returns
    -------
    tuple of Layout, and int or None
        The layout, and the only length that the model takes, or None if it takes several lengths.

    Raises
    ------
    UserError
        If the model takes several inputs, no layout or several layouts fit, or the given layout does not fit.
    """
    spec = _only_input(model)
    wanted = [Layout(name, alphabet) for name in (LAYOUTS if layout == "auto" else (layout,))]
    declared = spec.shape if spec is not None else None
    if spec is not None and declared is not None:
        wanted = _fitting(model, spec, wanted, layout)
        if len(wanted) == 1:
            return wanted[0], _declared_length(declared, wanted[0])
    if length is None:
        if len(wanted) == 1:
            return wanted[0], None
        raise UserError(f"the file {model.path} does not determine the layout; give --layout")
    found = _by_trial(model, wanted, length)
    return found, _length_by_trial(model, found, length) if declared is None else _declared_length(
        declared, found
    )


def find_batch_size(model: ModelFile, layout: Layout, length: int) -> int | None:
    """Return the number of rows that every batch must have; None if any number gives the same rows.

    Models of formats that declare no shapes (TorchScript, pickled modules) may still have a fixed batch size;
    this function runs the model on a few random sequences of `length` to find it.

    Raises
    ------
    UserError
        If the model runs on none of the tried numbers of rows.
    """
    if model.batch_size is not None:
        return model.batch_size
    from deeplift_cli.models.probing import in_batches, largest_difference, one_hot, outputs_of

    x = layout.to_model(one_hot(_ROWS[0], length))
    together, apart = outputs_of(model.module, x), in_batches(model.module, x, 1)
    if not isinstance(apart, str):
        agree = not isinstance(together, str) and largest_difference(together, apart) <= 1e-4
        return None if agree else 1
    for rows in _ROWS:
        if not isinstance(outputs_of(model.module, layout.to_model(one_hot(rows, length))), str):
            return rows
    raise UserError(
        f"{model.path} runs on none of the batch sizes {', '.join(map(str, _ROWS))}: {_brief(apart)}"
    )


def _only_input(model: ModelFile) -> TensorSpec | None:
    if len(model.inputs) > 1:
        raise UserError(ask_for_values(model, {}, model.inputs))
    spec = model.inputs[0] if model.inputs else None
    if spec is not None and spec.dtype is not None and "float" not in spec.dtype:
        raise UserError(
            f"input {spec.name} of {model.path} holds {spec.dtype} values; deeplift scores models whose "
            "input is one-hot sequence as floating-point numbers"
        )
    return spec


def _fitting(model: ModelFile, spec: TensorSpec, wanted: list[Layout], name: str) -> list[Layout]:
    """Return the layouts that fit a declared shape; those whose 4 (and 1) it declares exclude the others."""
    shape = spec.shape or ()
    fitting = [layout for layout in wanted if _fits(shape, layout)]
    exact = [layout for layout in fitting if _fits(shape, layout, exactly=True)]
    if fitting:
        return exact or fitting
    if name != "auto":
        raise UserError(f"--layout {name} does not fit input {spec} of {model.path}")
    if 4 not in shape[1:] and None not in shape[1:]:
        raise UserError(f"input {spec} of {model.path} has no axis of 4 bases, so it is no one-hot sequence")
    known = "[N, 4, L], [N, L, 4], [N, 4, 1, L] and [N, 4, L, 1]"
    raise UserError(
        f"input {spec} of {model.path} has a layout that deeplift does not know; it knows {known}"
    )


def _fits(shape: tuple[int | None, ...], layout: Layout, *, exactly: bool = False) -> bool:
    unit = _UNIT_AXIS[layout.name]
    if len(shape) != (3 if unit is None else 4):
        return False
    fours, ones = ((4,), (1,)) if exactly else ((4, None), (1, None))
    return shape[layout.channel_axis] in fours and (unit is None or shape[unit] in ones)


def _declared_length(shape: tuple[int | None, ...], layout: Layout) -> int | None:
    other = {0, layout.channel_axis, _UNIT_AXIS[layout.name]}
    return next(size for axis, size in enumerate(shape) if axis not in other)


def _by_trial(model: ModelFile, wanted: list[Layout], length: int) -> Layout:
    rows_to_try = (model.batch_size,) if model.batch_size else _ROWS
    problems: dict[str, str] = {}
    for rows in rows_to_try:
        tried = {layout: _problem(model, layout, length, rows) for layout in wanted}
        fitting = [layout for layout, problem in tried.items() if problem is None]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            names = [layout.name for layout in fitting]
            raise SeveralLayoutsError(
                f"{model.path} runs on input in several layouts; say which with --layout "
                f"({' or '.join(names)})",
                names,
            )
        if not problems:
            problems = {layout.name: problem or "" for layout, problem in tried.items()}
    for layout in wanted:
        better = _wanted_length(model, layout, length, model.batch_size or _ROWS[0])
        if better is not None:
            raise WrongLengthError(
                f"{model.path} does not take sequences of {length} bp; it takes {better} bp", better
            )
    listed = "; ".join(f"{name}: {_brief(problem)}" for name, problem in problems.items())
    raise UserError(
        f"{model.path} does not run on one-hot sequences of {length} bp in any layout tried ({listed})"
    )


def _problem(model: ModelFile, layout: Layout, length: int, rows: int) -> str | None:
    """Run the model on random sequences; return the problem with their shape, or None."""
    from deeplift_cli.models.probing import one_hot, outputs_of

    outputs = outputs_of(model.module, layout.to_model(one_hot(rows, length)))
    return outputs if isinstance(outputs, str) else None


def _length_by_trial(model: ModelFile, layout: Layout, length: int) -> int | None:
    """Return `length`, on which the model runs, if it runs on neither twice nor half of it; else None."""
    rows = next(rows for rows in _ROWS if _problem(model, layout, length, rows) is None)
    others = (2 * length, max(1, length // 2))
    return None if any(_problem(model, layout, other, rows) is None for other in others) else length


def _wanted_length(model: ModelFile, layout: Layout, length: int, rows: int) -> int | None:
    """Find the length at which a dense layer after flattening fits, from the sizes in torch's message."""
    tried: dict[int, int] = {}  # the number of features by length
    for _ in range(12):
        problem = _problem(model, layout, length, rows)
        if problem is None:
            return length
        sizes = re.search(r"cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)", problem)
        if sizes is None:
            return None
        have, want = int(sizes[1]), int(sizes[2])
        other = next((pair for pair in tried.items() if pair[1] != have), None)
        tried[length] = have
        slope = have / length if other is None else (have - other[1]) / (length - other[0])
        step = round((want - have) / slope) if slope else 0
        length += step or (1 if want > have else -1)
        if length < 1 or length in tried:
            return None
    return None


def _brief(problem: str) -> str:
    """Return the line of an error's message that names the problem (the last in TorchScript), shortened."""
    lines = [line.strip() for line in problem.splitlines() if line.strip()] or [""]
    line = next((line for line in reversed(lines) if "Error: " in line), lines[0])
    return line if len(line) <= 120 else line[:117] + "..."
