"""Preparation of a model for scoring: its layout, its length, the batch size, and its recording."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

import deeplift_references
from deeplift_cli.errors import OutOfMemoryError, UserError
from deeplift_cli.models import Layout, ModelFile, find_layout, read
from deeplift_cli.models.batch_memory import SHORTER, BatchMemory, layout_for_long
from deeplift_cli.models.compilation import compiled_if_worth_it
from deeplift_cli.models.input_layout import find_batch_size
from deeplift_cli.models.probing import one_hot
from deeplift_cli.models.scorer import Scorer, Scores
from deeplift_cli.options.settings import ModelOptions, ScoreOptions
from deeplift_cli.process.failures import is_about_memory
from deeplift_cli.process.memory import keep_freed_memory, memory_of
from deeplift_cli.process.screen import Screen
from deeplift_core import CaptureError, DeepLift, DeepLiftError, ForwardError

# With `auto`, the forward values of one batch take about this many bytes, which suits a CPU's caches, plus
# the bytes of the weights, which every batch reads; a GPU is faster with more.
_AUTO_BYTES = 128 << 20
_AUTO_LARGEST = 256
# Forward values may take one part in so many of all memory: a backward pass holds further values, and pairs
# that are scored again in float64 take twice as much.
_AUTO_SHARE = 8
# Number of rows to record with if the batch size is free: the least that distinguishes a row from a batch.
FEW_ROWS = 2


@dataclass(frozen=True)
class Explained:
    """A model that is recorded and ready to score.

    Attributes
    ----------
    model : ModelFile
    length : int
        L, the length of the sequences to score.
    takes_any_length : bool
        True if the model takes any length, so that L comes from the input.
    batch_size : int
        K, the number of rows of every batch.
    is_compiled : bool
    """

    model: ModelFile
    length: int
    takes_any_length: bool
    batch_size: int
    is_compiled: bool
    scorer: Scorer
    options: ScoreOptions
    memory: BatchMemory

    def score(
        self,
        sequences: npt.NDArray[np.int8],
        references: npt.NDArray[np.float32],
    ) -> list[Scores]:
        """Score sequences [N, 4, L] with references [N, R, 4, L] or [R, 4, L], for each target."""
        with model_errors(self.options, self.memory):
            return self.scorer.score(sequences, references, [spec.index for spec in self.options.targets])


def load_model(options: ModelOptions) -> ModelFile:
    """Read the model file, and set up the process for running the model.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    keep_freed_memory()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return read(options.model, allow_pickle=options.allow_pickle, options=dict(options.format_options))


def read_model(options: ModelOptions, screen: Screen) -> ModelFile:
    """Load the model, and show the notes about it on the screen.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    model = load_model(options)
    for line in model.notes:
        screen.note(line)
    return model


def explain(
    options: ScoreOptions, model: ModelFile, first_length: Callable[[], int], n_sequences: int, screen: Screen
) -> Explained:
    """Record a model.

    Parameters
    ----------
    options : ScoreOptions
    model : ModelFile
    first_length : callable
        Returns the length of the input's first sequence, with which a model of any length is recorded.
    n_sequences : int
        The approximate number of sequences, which limits the batch size and decides whether to compile.
    screen : Screen
        Shows lines that the user should read.

    Raises
    ------
    UserError
        If the model cannot be recorded, an operation has no rule, or the target does not fit the output.
    """
    with model_errors(options):
        few = partial(_on_few, options, model)
        first = first_length()
        for_long = layout_for_long(options, model, first, chosen_device(options.device), few)
        layout, only_length = (for_long, None) if for_long else _found_layout(options, model, first)
        length = only_length or first
        given = chosen_batch_size(options, model, layout, SHORTER if for_long else length)
        rows, memory = _chosen_rows(options, model, layout, length, given, n_sequences)
    with model_errors(options, memory):
        explainer = _on(options, model, layout, length, rows)
        for spec in options.targets:
            explainer.check_target(spec.index)
        takes_count = deeplift_references.parse_spec(options.reference)[0].takes_count
        pairs = n_sequences * (options.n_references if takes_count else 1) * (2 if options.rc_average else 1)
        ready = compiled_if_worth_it(explainer, options, pairs, screen)
    _describe(screen, model, layout, length, explainer)
    for line in explainer.notes:
        screen.note(line)
    scorer = Scorer(ready, layout, rc_average=options.rc_average)
    return Explained(
        model,
        length,
        only_length is None,
        explainer.batch_size,
        ready is not explainer,
        scorer,
        options,
        memory,
    )


@contextmanager
def model_errors(options: ModelOptions, memory: BatchMemory | None = None) -> Iterator[None]:
    """Turn errors inside the model into one line for the user.

    Parameters
    ----------
    options : ModelOptions
    memory : BatchMemory, optional
        The memory that a batch takes, if known; it names the option that helps if memory runs out.

    Raises
    ------
    UserError
        If the code in the block raises an error of the model.
    """
    try:
        yield
    except ForwardError as error:
        # find_layout has run the model in float32 and on few rows, so the cause is an option of the user.
        if options.precision != "float32":
            raise UserError(
                f"{options.model} cannot be computed in {options.precision}: {error}; leave out --precision"
            ) from error
        if options.batch_size is not None:
            raise UserError(
                f"{options.model} cannot be run with --batch-size {options.batch_size}: {error}"
            ) from error
        raise UserError(f"{options.model}: {error}") from error
    except DeepLiftError as error:
        raise UserError(f"{options.model}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_about_memory(error):
            raise
        remedy = "a smaller --batch-size or shorter sequences" if memory is None else memory.remedy()
        raise OutOfMemoryError(f"{options.model}: not enough memory; give {remedy}") from error


def _describe(screen: Screen, model: ModelFile, layout: Layout, length: int, explainer: DeepLift) -> None:
    rules = Counter(node.rule for node in explainer.nodes)
    screen.detail(
        f"{model.path}: {model.format}, layout {layout.name}, {length} bp, "
        f"batches of {explainer.batch_size}, {explainer.device}, {explainer.dtype}"
    )
    counts = ", ".join(f"{rule} {n}" for rule, n in rules.most_common())
    screen.detail(f"recorded operations by rule: {counts}")


def _on(options: ScoreOptions, model: ModelFile, layout: Layout, length: int, rows: int) -> DeepLift:
    """Record the model on a random batch."""
    x = layout.to_model(one_hot(rows, length))
    return record(
        options, model, x, options.rule, dict(options.layer_rules), channel_axis=layout.channel_axis
    )


def _on_few(options: ScoreOptions, model: ModelFile, layout: Layout, length: int) -> DeepLift:
    """Record the model on as few rows as possible, to measure the memory of one row."""
    return _on(options, model, layout, length, chosen_batch_size(options, model, layout, length) or FEW_ROWS)


def _found_layout(options: ScoreOptions, model: ModelFile, length: int) -> tuple[Layout, int | None]:
    return find_layout(model, layout=options.layout, alphabet=options.alphabet, length=length)


def _chosen_rows(
    options: ScoreOptions,
    model: ModelFile,
    layout: Layout,
    length: int,
    given: int | None,
    n_sequences: int,
) -> tuple[int, BatchMemory]:
    """Return K, and the memory of a batch of K rows, before such a batch is made.

    If K is given, the model is first recorded on a few rows only if a batch could be too large and the model
    also takes batches of fewer than K rows.

    Raises
    ------
    UserError
        If there is not enough memory.
    """
    device = chosen_device(options.device)
    memory = BatchMemory.of(options, length, given or 1, device)
    memory.check(options.model)
    if given is not None and (given <= FEW_ROWS or not memory.may_be_too_large):
        return given, memory
    try:
        explainer = _on(options, model, layout, length, FEW_ROWS)
    except CaptureError:
        if given is None:
            raise
        return given, memory
    memory = memory.with_values(explainer.bytes_per_row)
    rows = given or auto_batch_size(explainer, n_sequences)
    memory = replace(memory, rows=rows)
    memory.check(options.model)
    return rows, memory


def chosen_batch_size(options: ModelOptions, model: ModelFile, layout: Layout, length: int) -> int | None:
    """Return K if the model or the user decides it; None if it is free.

    Raises
    ------
    UserError
        If the model and the user disagree.
    """
    fixed = find_batch_size(model, layout, length)
    if fixed is not None and options.batch_size not in (None, fixed):
        raise UserError(f"{options.model} takes batches of {fixed} only; leave out --batch-size")
    return fixed or options.batch_size


def auto_batch_size(explainer: DeepLift, n_sequences: int = sys.maxsize) -> int:
    """Return K for `auto`: the power of two whose values fit comfortably into the device's memory, or 1.

    Parameters
    ----------
    explainer : DeepLift
        An explainer that was recorded with any batch size.
    n_sequences : int
        The largest number of sequences to score: a larger batch would only be padded.
    """
    budget = memory_of(explainer.device) // _AUTO_SHARE
    if explainer.device.type != "cuda":
        budget = min(budget, _AUTO_BYTES + explainer.weight_bytes)
    rows = max(1, min(_AUTO_LARGEST, budget // max(1, explainer.bytes_per_row)))
    most = 1 << max(0, n_sequences - 1).bit_length()
    return min(most, 1 << (rows.bit_length() - 1))


def record(
    options: ModelOptions,
    model: ModelFile,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    rule: str,
    layer_rules: dict[str, str],
    channel_axis: int | None,
) -> DeepLift:
    """Record the model on an example batch, with the device, type and output of the options."""
    return DeepLift(
        model.module,
        example,
        rule=rule,
        layer_rules=layer_rules,
        output=_output(options, model),
        logits=options.logits,
        centre=options.centre,
        channel_axis=channel_axis,
        dtype=getattr(torch, options.precision),
        device=chosen_device(options.device),
    )


def _output(options: ModelOptions, model: ModelFile) -> int | str:
    """Return the index of the chosen output; formats with names of outputs return them in order."""
    names = [spec.name for spec in model.outputs]
    if isinstance(options.output, str) and names:
        if options.output not in names:
            raise UserError(f"{options.model} has no output {options.output!r}; it has {', '.join(names)}")
        return names.index(options.output)
    return options.output


def chosen_device(name: str) -> torch.device:
    """Return the device that `--device` names.

    Raises
    ------
    UserError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, place = name.partition(":")
    if kind == "cuda" and int(place or 0) >= torch.cuda.device_count():
        raise UserError(f"there is no device {name}: torch sees {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)
