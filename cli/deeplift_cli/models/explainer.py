"""Preparation of a model for scoring: its layout, its length, the batch size, and its recording."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import deeplift_references
from deeplift_cli.errors import OutOfMemoryError, UserError
from deeplift_cli.models import Layout, ModelFile, find_layout, read
from deeplift_cli.models.batch_memory import SHORTER, BatchMemory, layout_for_long
from deeplift_cli.models.batch_size import LARGEST_OF_AUTO, auto_batch_size, chosen_batch_size
from deeplift_cli.models.compilation import compiled_if_worth_it
from deeplift_cli.models.heads import with_bias_inside
from deeplift_cli.models.held_weights import HeldWeights, WithHeldWeights
from deeplift_cli.models.mutagenesis import Mutagenesis
from deeplift_cli.models.probing import one_hot
from deeplift_cli.models.scorer import Scorer, Scores
from deeplift_cli.models.target_checks import check_not_zero, targets_in_words
from deeplift_cli.models.targets import ModelTargets, place_in_file
from deeplift_cli.models.token_ids import with_token_ids
from deeplift_cli.options.settings import ModelOptions, ScoreOptions
from deeplift_cli.process.failures import is_about_memory
from deeplift_cli.process.memory import keep_freed_memory
from deeplift_cli.process.screen import Screen
from deeplift_core import CaptureError, DeepLift, DeepLiftError, ForwardError

# In-silico mutagenesis runs thousands of mutants for each sequence, so that its batches are full however few
# sequences there are. A batch of the run is saved when all mutants of its K sequences have been scored: on a
# CPU, where more rows are no faster, K is kept small.
_AUTO_OF_MUTANTS = 32
# Number of rows to record with if the batch size is free: the least that distinguishes a row from a batch.
FEW_ROWS = 2


@dataclass(frozen=True)
class Explained:
    """A model that is recorded and ready to score.

    Attributes
    ----------
    model : ModelFile
    layout : Layout
    length : int
        L, the length of the sequences to score.
    takes_any_length : bool
        True if the model takes any length, so that L comes from the input.
    batch_size : int
        K, the number of rows of every batch.
    is_compiled : bool
    targets : ModelTargets
    explained : str
        What of the output is explained, for the summary.
    output_shape : tuple of int
        The shape, without the batch, of the first target's output.
    """

    model: ModelFile
    layout: Layout
    length: int
    takes_any_length: bool
    batch_size: int
    is_compiled: bool
    targets: ModelTargets
    explained: str
    output_shape: tuple[int, ...]
    scorer: Scorer | Mutagenesis
    options: ScoreOptions
    memory: BatchMemory

    @property
    def sha256(self) -> str | list[str]:
        """The SHA-256 of the model."""
        return self.model.sha256

    @property
    def n_models(self) -> int:
        """The number of models whose mean is scored."""
        return 1

    @property
    def rescoring_stopped(self) -> str:
        """The reason why pairs are no longer scored again in float64; "" while rescoring is on."""
        return self.scorer.rescoring_stopped

    def score(
        self,
        sequences: npt.NDArray[np.int8],
        references: npt.NDArray[np.float32],
        records: Sequence[int] | npt.NDArray[np.integer[Any]],
        expected: npt.NDArray[np.float32] | None = None,
    ) -> list[Scores]:
        """Score [N, 4, L], of these records of the input, for each target; see `Scorer.score`."""
        with model_errors(self.options, self.memory):
            return self.scorer.score(sequences, references, self.targets.for_core, records, expected)


def load_model(options: ModelOptions) -> ModelFile:
    """Read the model file, and set up the process for running the model.

    Raises
    ------
    UserError
        If the file cannot be read, or holds no model of token ids where the options give their numbers.
    """
    keep_freed_memory()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model = read(options.model, allow_pickle=options.allow_pickle, options=dict(options.format_options))
    return with_token_ids(model, options.token_ids) if options.token_ids else model


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
    if note := with_bias_inside(model):
        screen.note(note)
    return model


def explain(
    options: ScoreOptions,
    model: ModelFile,
    targets: ModelTargets,
    first_length: Callable[[], int],
    n_sequences: int,
    screen: Screen,
    others: int = 0,
) -> Explained:
    """Record a model.

    Parameters
    ----------
    options : ScoreOptions
    model : ModelFile
    targets : ModelTargets
        The targets of the options, resolved for this model.
    first_length : callable
        Returns the length of the input's first sequence, with which a model of any length is recorded.
    n_sequences : int
        The approximate number of sequences, which limits the batch size and decides whether to compile.
    screen : Screen
        Shows lines that the user should read.
    others : int
        Bytes of memory that other models are going to take.

    Raises
    ------
    UserError
        If the model cannot be recorded, an operation has no rule, or the target does not fit the output.
    """
    options = replace(options, output=targets.output)
    with model_errors(options):
        few = partial(_on_few, options, model)
        first = first_length()
        for_long = layout_for_long(options, model, first, chosen_device(options.device), few, others)
        layout, only_length = (for_long, None) if for_long else _found_layout(options, model, first)
        model = layout.adapted(model)
        length = only_length or first
        given = chosen_batch_size(options, model, layout, SHORTER if for_long else length)
        rows, memory = _chosen_rows(options, model, layout, length, given, n_sequences, others)
    with model_errors(options, memory):
        weights = None
        if targets.weights_of is not None:
            weights = held_weights(options, model, targets.weights_of, rows)
            _require_logits(options, model, layout, length, targets.weights_of)
        explainer = _on(options, model, layout, length, rows, weights)
        for target in targets.for_core:
            explainer.check_target(target)
        check_not_zero(explainer, targets)
        ready = _compiled(explainer, options, model, targets, n_sequences, screen)
    _describe(screen, model, layout, length, explainer)
    for line in explainer.notes:
        screen.note(line)
    kind = Mutagenesis if options.is_mutagenesis else Scorer
    scorer = kind(ready, layout, rc_average=options.rc_average, weights=weights, further=model.further)
    return Explained(
        model,
        layout,
        length,
        only_length is None,
        explainer.batch_size,
        ready is not explainer,
        targets,
        targets_in_words(explainer, targets),
        tuple(explainer.shape_of(targets.for_core[0])),
        scorer,
        options,
        memory,
    )


def _compiled(
    explainer: DeepLift,
    options: ScoreOptions,
    model: ModelFile,
    targets: ModelTargets,
    n_sequences: int,
    screen: Screen,
) -> DeepLift:
    """Return the explainer, compiled if that is possible and saves time."""
    # Values by record are constants of each batch, which is not compiled; nor are single forward passes.
    if options.reference is None or has_values_by_record(model):
        return explainer
    takes_count = deeplift_references.parse_spec(options.reference)[0].takes_count
    references = options.n_references if takes_count else 1
    pairs = n_sequences * references * (2 if options.rc_average else 1)
    return compiled_if_worth_it(explainer, options, targets.for_core, pairs, screen)


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


def _on(
    options: ScoreOptions,
    model: ModelFile,
    layout: Layout,
    length: int,
    rows: int,
    weights: HeldWeights | None = None,
) -> DeepLift:
    """Record the model on a random batch."""
    x = layout.to_model(one_hot(rows, length))
    model, axis = layout.adapted(model), layout.channel_axis
    # Mutagenesis runs forward passes only, for which no operation needs a rule.
    rule = "gradient" if options.is_mutagenesis else options.rule
    if weights is None:
        return record(options, model, x, rule, dict(options.layer_rules), channel_axis=axis)
    weighted = replace(model, module=weights.model, outputs=())
    both = (x, weights(x, *further_example(model, rows)))
    return record(options, weighted, both, rule, dict(options.layer_rules), channel_axis=axis)


def further_example(model: ModelFile, rows: int) -> tuple[torch.Tensor, ...]:
    """Return example values of the inputs that differ by record, for K rows."""
    return () if model.further is None else model.further.example(rows)


def has_values_by_record(model: ModelFile) -> bool:
    """Return whether inputs beside the sequence have values that differ by record."""
    return model.further is not None and bool(model.further.by_record)


def held_weights(options: ModelOptions, model: ModelFile, output: int, rows: int) -> HeldWeights:
    """Return the model with the weights of its profile, the output at this place, as a second input."""
    dtype = getattr(torch, options.precision)
    return HeldWeights(WithHeldWeights(model.module, output), dtype, chosen_device(options.device), rows)


def _require_logits(
    options: ScoreOptions, model: ModelFile, layout: Layout, length: int, output: int
) -> None:
    """Refuse a profile that ends in a link, whose logits the weights would not be those of."""
    if options.logits and _on_few(replace(options, output=output), model, layout, length).explains_logit:
        raise UserError(
            f"{options.model} ends in a softmax or another link, and --target profile-fixed-weights takes a "
            "profile of logits; --target profile takes either"
        )


def _on_few(options: ScoreOptions, model: ModelFile, layout: Layout, length: int) -> DeepLift:
    """Record the model on as few rows as possible, to measure the memory of one row."""
    return _on(options, model, layout, length, chosen_batch_size(options, model, layout, length) or FEW_ROWS)


def _found_layout(options: ScoreOptions, model: ModelFile, length: int) -> tuple[Layout, int | None]:
    return find_layout(model, length=length, **options.layout_options)


def _chosen_rows(
    options: ScoreOptions,
    model: ModelFile,
    layout: Layout,
    length: int,
    given: int | None,
    n_sequences: int,
    others: int,
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
    memory = BatchMemory.of(options, length, given or 1, device, others)
    memory.check(options.model, options.records)
    if given is not None and (given <= FEW_ROWS or not memory.may_be_too_large):
        return given, memory
    try:
        explainer = _on(options, model, layout, length, FEW_ROWS)
    except CaptureError:
        if given is None:
            raise
        return given, memory
    memory = memory.with_values(explainer.bytes_per_row)
    if options.is_mutagenesis:
        n_sequences = LARGEST_OF_AUTO if device.type == "cuda" else _AUTO_OF_MUTANTS
    rows = given or auto_batch_size(explainer, n_sequences)
    memory = replace(memory, rows=rows)
    memory.check(options.model, options.records)
    return rows, memory


def record(
    options: ModelOptions,
    model: ModelFile,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    rule: str,
    layer_rules: dict[str, str],
    channel_axis: int | None,
) -> DeepLift:
    """Record the model on an example batch, with the device, type and output of the options.

    The example has no values of inputs that differ by record: these are added here.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    further = further_example(model, len(inputs[0]))
    return DeepLift(
        model.module,
        (*inputs, *further) if further else example,
        rule=rule,
        layer_rules=layer_rules,
        output=place_in_file(options.output, model) or 0,
        logits=options.logits,
        centre=options.centre,
        channel_axis=channel_axis,
        dtype=getattr(torch, options.precision),
        device=chosen_device(options.device),
        constant_inputs=range(len(inputs), len(inputs) + len(further)),
    )


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
