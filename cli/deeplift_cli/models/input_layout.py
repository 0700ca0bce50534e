"""The layout of a model's input and the length of the sequences, as the file declares them or runs show."""

import re
from collections.abc import Mapping, Sequence

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.models.layouts import BASES, FLAT, IDS, IMAGES, LAYOUTS, SEQUENCES, UNKNOWN, Layout
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.named_inputs import ask_for_values
from deeplift_cli.models.token_ids import prove_token_ids
from deeplift_cli.options.token_ids import EXAMPLE

# A model of three axes may run with a fourth, and a model of an image may flatten its input: where the model
# runs in several layouts, the first of these groups counts.
_GROUPS = (SEQUENCES, IMAGES, FLAT, (IDS,))
_LONGEST_REASON = 100  # characters that are shown of what a model said of a layout
# What torch says of numbers where a look-up needs ids.
_NEEDS_IDS = re.compile(r"'indices'|index tensor|used as indices|int\S* *(or|/) *int64 for index")
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


def find_layout(
    model: ModelFile,
    *,
    layout: str = "auto",
    alphabet: str = BASES,
    encode_n: str = "zeros",
    length: int | None,
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
    encode_n : str
        What stands for N in the four channels.
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
        If the model takes token ids, and their numbers are missing or it does more with them than look-ups.
    """
    spec = _only_input(model)
    if model.token_letters:
        layout, alphabet = IDS, model.token_letters
    elif layout == IDS:
        raise OptionsError(f"{model.path}: which number stands for which letter? Say {EXAMPLE}, for example")
    names = [name for name in LAYOUTS if name != IDS] if layout == "auto" else [layout]
    wanted = [Layout(name, alphabet, encode_n) for name in names]
    declared = spec.shape if spec is not None else None
    if spec is not None and declared is not None:
        wanted = _fitting(model, spec, wanted, layout)
        if len(wanted) == 1:
            only = _declared_length(declared, wanted[0])
            if length is None or not model.token_letters:
                return wanted[0], only
            length = only or length  # for the comparison with the model of ids
    if length is None:
        if len(wanted) == 1:
            return wanted[0], None
        raise UserError(f"the file {model.path} does not determine the layout; give --layout ({_or(wanted)})")
    found, rows = _by_trial(model, wanted, length)
    prove_token_ids(model, found, length, rows)
    if declared is not None:
        return found, _declared_length(declared, found)
    return found, _length_by_trial(model, found, length, rows)


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
    from deeplift_cli.models.probing import brief, in_batches, largest_difference, one_hot, outputs_of

    model = layout.adapted(model)
    x = layout.to_model(one_hot(_ROWS[0], length))
    together, apart = outputs_of(model.module, x), in_batches(model.module, x, 1)
    if not isinstance(apart, str):
        agree = not isinstance(together, str) and largest_difference(together, apart) <= 1e-4
        return None if agree else 1
    for rows in _ROWS:
        if not isinstance(outputs_of(model.module, layout.to_model(one_hot(rows, length))), str):
            return rows
    raise UserError(
        f"{model.path} runs on none of the batch sizes {', '.join(map(str, _ROWS))}: {brief(apart)}"
    )


def _only_input(model: ModelFile) -> TensorSpec | None:
    if len(model.inputs) > 1:
        raise UserError(ask_for_values(model, {}, model.inputs))
    spec = model.inputs[0] if model.inputs else None
    if spec is not None and spec.dtype is not None and "float" not in spec.dtype and not model.token_letters:
        raise UserError(
            f"input {spec.name} of {model.path} holds {spec.dtype} values: if these are token ids, say which "
            f"number stands for which letter ({EXAMPLE}); otherwise deeplift scores models whose input is "
            "one-hot sequence as floating-point numbers"
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
    channels = wanted[0].channels
    other = BASES + UNKNOWN if channels == len(BASES) else BASES
    if len(shape) > 2 and channels not in shape[1:] and len(other) in shape[1:]:
        raise UserError(
            f"input {spec} of {model.path} has no axis of {channels} letters but one of {len(other)}: give "
            f"their order, as in --alphabet {other}"
        )
    if channels not in shape[1:] and None not in shape[1:]:
        raise UserError(
            f"input {spec} of {model.path} has no axis of {channels} bases, so it is no one-hot sequence"
        )
    known = ", ".join(dict.fromkeys(layout.shape for layout in wanted))
    raise UserError(
        f"input {spec} of {model.path} has a layout that deeplift does not know; it knows {known}"
    )


def _fits(shape: tuple[int | None, ...], layout: Layout, *, exactly: bool = False) -> bool:
    if layout.name in FLAT:
        return len(shape) == 2 and (not exactly if shape[1] is None else shape[1] % layout.channels == 0)
    sizes = layout.row_shape(None)
    if len(shape) != 1 + len(sizes):
        return False
    allowed: list[tuple[int | None, ...]] = [(size,) if exactly else (size, None) for size in sizes]
    return all(
        wanted is None or declared in those
        for declared, wanted, those in zip(shape[1:], sizes, allowed, strict=True)
    )


def _declared_length(shape: tuple[int | None, ...], layout: Layout) -> int | None:
    if layout.name in FLAT:
        return None if shape[1] is None else shape[1] // layout.channels
    return shape[1 + layout.row_shape(None).index(None)]


def _by_trial(model: ModelFile, wanted: list[Layout], length: int) -> tuple[Layout, int]:
    """Return the only layout in which the model runs, and a number of rows with which it does."""
    from deeplift_cli.models.probing import brief

    rows_to_try = (model.batch_size,) if model.batch_size else _ROWS
    groups = [[layout for layout in wanted if layout.name in group] for group in _GROUPS]
    problems: dict[str, str] = {}
    for rows in rows_to_try:
        of_these_rows: dict[str, str] = {}
        for group in groups:
            tried = {layout: _problem(model, layout, length, rows) for layout in group}
            fitting = [layout for layout, problem in tried.items() if problem is None]
            if len(fitting) == 1:
                return fitting[0], rows
            if fitting:
                raise SeveralLayoutsError(
                    f"{model.path} runs on input in several layouts; say which with --layout "
                    f"({_or(fitting)})",
                    [layout.name for layout in fitting],
                )
            of_these_rows |= {layout.name: problem or "" for layout, problem in tried.items()}
        problems = problems or of_these_rows
    _refuse_ids(model, problems, length)
    for layout in wanted:
        better = _wanted_length(model, layout, length, model.batch_size or _ROWS[0])
        if better is not None:
            raise WrongLengthError(
                f"{model.path} does not take sequences of {length:,} bp; it takes {better:,} bp: "
                f"give --length {better}",
                better,
            )
    if model.token_letters:
        raise UserError(
            f"{model.path} does not run on token ids of {length} positions: {brief(problems[IDS])}"
        )
    raise UserError(
        f"{model.path} does not run on one-hot sequences of {length} bp in any layout tried "
        f"({_grouped(problems)})"
    )


def _refuse_ids(model: ModelFile, problems: Mapping[str, str], length: int) -> None:
    """Refuse a model that takes token ids, of which nothing is known."""
    if model.token_letters or not any(map(_NEEDS_IDS.search, problems.values())):
        return
    raise UserError(
        f"{model.path} does not run on one-hot sequences of {length} bp but looks up token ids: say which "
        f"number stands for which letter, as in {EXAMPLE}"
    )


def _or(layouts: Sequence[Layout]) -> str:
    """Return the names of layouts, with the order of values where the input is flattened."""
    return " or ".join(
        f"{layout.name}: {layout.described}" if layout.name in FLAT else layout.name for layout in layouts
    )


def _grouped(problems: Mapping[str, str]) -> str:
    """Return what the model said of each layout, where it said the same of several in one place."""
    from deeplift_cli.models.probing import brief

    layouts: dict[str, list[str]] = {}
    for name, problem in problems.items():
        layouts.setdefault(brief(problem, _LONGEST_REASON), []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in layouts.items())


def _problem(model: ModelFile, layout: Layout, length: int, rows: int) -> str | None:
    """Run the model on random sequences; return the problem with their shape, or None."""
    from deeplift_cli.models.probing import one_hot, outputs_of

    outputs = outputs_of(layout.adapted(model).module, layout.to_model(one_hot(rows, length)))
    return outputs if isinstance(outputs, str) else None


def _length_by_trial(model: ModelFile, layout: Layout, length: int, rows: int) -> int | None:
    """Return `length`, on which the model runs, if it runs on neither twice nor half of it; else None."""
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
