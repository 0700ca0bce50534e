"""The steps of an inspection, which ends at the first step that fails."""

import math
from dataclasses import dataclass, replace

import torch

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.inspection.cost import forward_seconds, scoring_seconds
from deeplift_cli.inspection.findings import (
    Classes,
    Cost,
    InputForm,
    Inspection,
    Operation,
    Recording,
    SelfCheck,
)
from deeplift_cli.inspection.input_form import find_form
from deeplift_cli.inspection.score_command import score_command
from deeplift_cli.inspection.self_check import Sample, check
from deeplift_cli.inspection.tensors import input_specs, random_inputs
from deeplift_cli.inspection.watch import Watch
from deeplift_cli.models import ModelFile
from deeplift_cli.models.batch_memory import BatchMemory
from deeplift_cli.models.batch_size import auto_batch_size, chosen_batch_size
from deeplift_cli.models.explainer import (
    FEW_ROWS,
    chosen_device,
    further_example,
    held_weights,
    load_model,
    model_errors,
    record,
)
from deeplift_cli.models.further_inputs import with_further_inputs
from deeplift_cli.models.heads import heads_of
from deeplift_cli.models.held_weights import HeldWeights
from deeplift_cli.models.labels import read_labels
from deeplift_cli.models.named_inputs import ask_for_values
from deeplift_cli.models.output_shapes import output_specs
from deeplift_cli.models.probing import LENGTHS, one_hot
from deeplift_cli.models.target_checks import check_not_zero
from deeplift_cli.models.targets import ModelTargets, find_targets, place_in_file
from deeplift_cli.models.token_ids import prove_token_ids
from deeplift_cli.options.settings import InspectOptions
from deeplift_cli.options.targets import Element
from deeplift_core import DeepLift
from deeplift_core.assignment.presets import preset_names

_CHECKED = ("genomics-default", "rescale")

Batch = tuple[torch.Tensor, ...]


def inspect(options: InspectOptions, watch: Watch) -> Inspection:
    """Inspect a model.

    Parameters
    ----------
    options : InspectOptions
    watch : Watch
        Called after each step that found something, before the next step begins.

    Returns
    -------
    Inspection
        Its `problems` say why the model cannot be scored.

    Raises
    ------
    UserError
        If the file cannot be read as a model, or there is no such device.
    OptionsError
        If the targets cannot be meant.
    """
    chosen_device(options.device)
    with watch.doing(f"reading {options.model}"):
        model = load_model(options)
    parameters = sum(parameter.numel() for parameter in model.module.parameters())
    found = Inspection(model, parameters, list(model.inputs), list(model.outputs))
    watch.known(found)
    try:
        with model_errors(options):
            if len(model.inputs) > 1 and not options.further_inputs:
                _several_inputs(found, options, watch)
            else:
                lengths = LENGTHS if options.length is None else (options.length,)
                found.model = with_further_inputs(options, model, lambda: lengths, None)
                _one_input(found, options, watch)
    except OptionsError:
        raise
    except UserError as error:
        found.problems.append(" ".join(str(error).split()))
    if found.can_be_scored and found.recording is not None:
        found.command = score_command(options, found.recording.output_shape)
    return found


@dataclass(frozen=True)
class _Scored:
    """What is scored for the check and the measurement.

    Attributes
    ----------
    explainer : DeepLift
        The model with the first rule of `_CHECKED`.
    x : tuple of Tensor [K, ...]
        One batch, for each input.
    references : tuple of Tensor [K, R, ...]
    weights : HeldWeights or None
        The value is None if the target has no weights that are held.
    """

    explainer: DeepLift
    x: Batch
    references: Batch
    weights: HeldWeights | None = None


def _one_input(found: Inspection, options: InspectOptions, watch: Watch) -> None:
    """Inspect a model of which the sequence is the only input without values."""
    form, rows = _find_form(found, options, watch)
    batch = _batch(form, rows or FEW_ROWS)
    found.inputs = input_specs(found.model, form)
    watch.known(found)
    targets = find_targets(options, found.model, lambda: form.length) if options.targets else None
    if targets is not None and place_in_file(options.output, found.model) != targets.outputs[0]:
        options = replace(options, output=targets.outputs[0])
    recorded = _record(found, options, batch, form, watch)
    if found.problems:
        found.cost = _cost(found, options, batch, watch)
        return
    rules = dict(options.layer_rules)
    explainer = recorded.with_rule(_CHECKED[0], rules)
    row_bytes = explainer.bytes_per_row
    rows = rows or auto_batch_size(explainer)
    if rows != explainer.batch_size:
        batch = _batch(form, rows)
        with watch.doing(f"recording the operations again, on batches of {rows}"):
            explainer = _recorded(found, options, batch, form).with_rule(_CHECKED[0], rules)
    if targets is None:
        targets = _first_target(explainer.output_shape)
    sample = Sample.of(rows, form.length)
    references = form.layout.to_model(torch.from_numpy(sample.references[:rows]))
    scored = _Scored(explainer, batch, (references,))
    if targets.weights_of is not None:
        scored = _with_held_weights(found, options, scored, targets, targets.weights_of)
    for target in targets.for_core:
        scored.explainer.check_target(target)
    check_not_zero(scored.explainer, targets)
    with watch.doing("checking summation-to-delta on random sequences"):
        _check(found, scored, rules, sample, targets)
    watch.known(found)
    every = (*scored.x, *further_example(found.model, rows))
    with watch.doing("measuring the time of scoring"):
        fixed, each = scoring_seconds(scored.explainer, every, scored.references, targets.for_core[0])
    found.cost = _cost(found, options, batch, watch, fixed, each, row_bytes)


def _find_form(found: Inspection, options: InspectOptions, watch: Watch) -> tuple[InputForm, int | None]:
    """Find the form of the input, and return it with the batch size; None if any batch size will do."""
    if options.length is not None:
        _check_memory(options, options.length, options.batch_size or FEW_ROWS)
    with watch.doing("finding the layout of the input"):
        form = found.form = find_form(options, found.model)
    found.model = form.layout.adapted(found.model)
    rows = chosen_batch_size(options, found.model, form.layout, form.length)
    prove_token_ids(found.model, form.layout, form.length, rows or FEW_ROWS)
    _check_memory(options, form.length, rows or FEW_ROWS)
    return form, rows


def _batch(form: InputForm, rows: int) -> Batch:
    return (form.layout.to_model(one_hot(rows, form.length)),)


def _with_held_weights(
    found: Inspection, options: InspectOptions, scored: _Scored, targets: ModelTargets, weights_of: int
) -> _Scored:
    """Return what is scored if the weights of the target are held at their values for the sequence."""
    assert found.form is not None
    (sequences,), (references,) = scored.x, scored.references
    rows = sequences.shape[0]
    weights = held_weights(options, found.model, weights_of, rows)
    held = weights(sequences, *further_example(found.model, rows))
    x = (sequences, held)
    weighted = replace(found.model, module=weights.model, outputs=())
    chosen = replace(options, output=targets.output)
    axis = found.form.layout.channel_axis
    explainer = record(chosen, weighted, x, _CHECKED[0], dict(options.layer_rules), channel_axis=axis)
    held_references = held.unsqueeze(1).expand(-1, references.shape[1], -1)
    return _Scored(explainer, x, (references, held_references), weights)


def _check_memory(options: InspectOptions, length: int, rows: int) -> None:
    """Refuse a batch that would not fit into memory, before it is made."""
    device = chosen_device(options.device)
    BatchMemory.of_inspection(length, rows, options.precision, device).check(options.model)


def _several_inputs(found: Inspection, options: InspectOptions, watch: Watch) -> None:
    """Describe a model with several inputs, of which all but the sequence need values."""
    found.problems.append(ask_for_values(found.model, {}, found.inputs))
    batch = random_inputs(found.model, options.batch_size or FEW_ROWS, options.length)
    _record(found, options, batch, None, watch)
    found.cost = _cost(found, options, batch, watch)


def _record(
    found: Inspection, options: InspectOptions, batch: Batch, form: InputForm | None, watch: Watch
) -> DeepLift:
    """Record with the gradient rule, which supports every operation, and find those without DeepLIFT rule."""
    with watch.doing("recording the operations"):
        found.outputs = output_specs(found.model, batch)
        found.heads = heads_of(found.outputs)
        recorded = _recorded(found, options, batch, form)
        found.classes = _classes(options, found.model, recorded.output_shape)
        found.recording = _describe(recorded, dict(options.layer_rules), options.output or 0)
    watch.known(found)
    missing = len(found.recording.unsupported)
    if missing:
        count = "1 operation has" if missing == 1 else f"{missing} operations have"
        found.problems.append(f"{options.model}: {count} no DeepLIFT rule")
    return recorded


def _recorded(found: Inspection, options: InspectOptions, batch: Batch, form: InputForm | None) -> DeepLift:
    axis = None if form is None else form.layout.channel_axis
    return record(options, found.model, batch, "gradient", {}, channel_axis=axis)


def _describe(recorded: DeepLift, layer_rules: dict[str, str], output: int | str) -> Recording:
    under = {preset: recorded.nodes_under(preset, layer_rules) for preset in preset_names()}
    operations = []
    for nodes in zip(*under.values(), strict=True):
        first = nodes[0]
        rules = {preset: node.rule for preset, node in zip(under, nodes, strict=True)}
        problem = next((node.problem for node in nodes if node.problem), "")
        if first.op != "input":
            operations.append(Operation(first.name, first.op, first.module, first.source, rules, problem))
    notes = recorded.notes_under(_CHECKED[0], layer_rules)
    return Recording(operations, output, recorded.output_shape, recorded.explains_logit, notes)


def _classes(options: InspectOptions, model: ModelFile, shape: tuple[int, ...]) -> Classes | None:
    """Return the names of classes from the user's file, or else from the model's."""
    names = model.labels if options.labels is None else read_labels(options.labels)
    if not names:
        return None
    axes = tuple(axis for axis, size in enumerate(shape) if size == len(names))
    return Classes(names, str(options.labels or model.path), axes)


def _first_target(shape: tuple[int, ...]) -> ModelTargets:
    """Return the output's first element."""
    places = (0,) * max(1, len(shape))
    return ModelTargets((Element(places),), (0,), (places if len(places) > 1 else 0,))


def _check(
    found: Inspection, scored: _Scored, layer_rules: dict[str, str], sample: Sample, targets: ModelTargets
) -> None:
    """Check the targets under each rule."""
    assert found.form is not None
    for rule in _CHECKED:
        explainer = scored.explainer if rule == _CHECKED[0] else scored.explainer.with_rule(rule, layer_rules)
        for spec, target in zip(targets.specs, targets.for_core, strict=True):
            result = check(
                explainer, found.form.layout, sample, rule, spec, target, scored.weights, found.model.further
            )
            found.checks.append(result)
            if not result.holds:
                found.problems.append(f"{found.model.path}: {_failure(result)}")


def _failure(result: SelfCheck) -> str:
    if not math.isfinite(result.largest_difference):
        return f"scores under {result.rule} are not finite: the model gives NaN or infinity for some input"
    if not math.isfinite(result.worst_relative_error):
        return f"scores under {result.rule} are not finite, although the model's outputs are"
    return (
        f"summation-to-delta is off by {result.worst_relative_error:.1e} under {result.rule} "
        f"(relative; tolerance {result.tolerance:.0e})"
    )


def _cost(
    found: Inspection,
    options: InspectOptions,
    batch: Batch,
    watch: Watch,
    fixed: float | None = None,
    each: float | None = None,
    row_bytes: int | None = None,
) -> Cost:
    device, dtype = chosen_device(options.device), getattr(torch, options.precision)
    there = tuple(tensor.to(device, dtype) for tensor in batch)
    with watch.doing("measuring the time of the forward pass"):
        forward = forward_seconds(found.model.module, there, dtype)
    return Cost(
        str(device),
        options.precision,
        torch.get_num_threads(),
        batch[0].shape[0],
        forward,
        fixed,
        each,
        row_bytes,
    )
