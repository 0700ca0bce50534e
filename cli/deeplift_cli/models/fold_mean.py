"""The mean of several models' scores: the folds of a cross-validation in one run.

Each batch is scored by one model after the other, with the same references, and the scores are averaged
before they are stored. For the rest of the run, the models together are one `Explained`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.errors import UserError
from deeplift_cli.folds import mean_of_folds
from deeplift_cli.models.explainer import Explained, explain, model_errors, read_model
from deeplift_cli.models.further_inputs import with_further_inputs
from deeplift_cli.models.model_file import ModelFile
from deeplift_cli.models.scorer import Scores
from deeplift_cli.models.targets import ModelTargets, find_targets
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.steps import step


@dataclass(frozen=True)
class LoadedModel:
    """One of the models of a run, which is not recorded yet.

    Attributes
    ----------
    path : Path
        The path as the user gave it.
    file : ModelFile
    targets : ModelTargets
    """

    path: Path
    file: ModelFile
    targets: ModelTargets


@dataclass(frozen=True)
class ExplainedFolds(Explained):
    """Two models or more that are recorded and ready to score; all other attributes are the first model's.

    Attributes
    ----------
    folds : tuple of Explained
        The models in the order of the command line.
    """

    folds: tuple[Explained, ...]

    @property
    def sha256(self) -> list[str]:
        """The SHA-256 of each model."""
        return [fold.model.sha256 for fold in self.folds]

    @property
    def n_models(self) -> int:
        """The number of models whose mean is scored."""
        return len(self.folds)

    @property
    def rescoring_stopped(self) -> str:
        """The reason why pairs of a model are no longer scored again in float64; "" while rescoring is on."""
        return next((fold.rescoring_stopped for fold in self.folds if fold.rescoring_stopped), "")

    def score(
        self,
        sequences: npt.NDArray[np.int8],
        references: npt.NDArray[np.float32],
        records: Sequence[int] | npt.NDArray[np.integer[Any]],
        expected: npt.NDArray[np.float32] | None = None,
    ) -> list[Scores]:
        """Score [N, 4, L] against [N, R, 4, L] or [R, 4, L], for each target: the mean over the models."""
        found = list[list[Scores]]()
        for fold in self.folds:
            with step("scoring a batch", fold.options.model):
                found.append(fold.score(sequences, references, records, expected))
        return [mean_of_scores(sequences, of_target) for of_target in zip(*found, strict=True)]


def models_of(explained: Explained) -> tuple[Explained, ...]:
    """Return each of several models, or the one model."""
    return explained.folds if isinstance(explained, ExplainedFolds) else (explained,)


def mean_of_scores(sequences: npt.NDArray[np.int8], folds: Sequence[Scores]) -> Scores:
    """Return the mean of the scores of sequences [N, 4, L] by two models or more, with the spread."""
    every = [{item.name: getattr(fold, item.name) for item in fields(fold)} for fold in folds]
    return Scores(**mean_of_folds(sequences, every))


def read_models(
    options: ScoreOptions, screen: Screen, length: Callable[[ModelFile], int], n_records: int | None
) -> tuple[LoadedModel, ...]:
    """Read all models of a run, and find out what the targets are for each.

    Parameters
    ----------
    options : ScoreOptions
    screen : Screen
        Shows notes about the models.
    length : callable
        Returns the length of the sequences to be scored with a model, where the shapes of its inputs or
        outputs are needed. The model may still have several inputs.
    n_records : int or None
        Number of records of the input file; None where it is not known, 0 where values cannot differ by
        record.

    Raises
    ------
    OptionsError
        As `find_targets`.
    UserError
        If a file cannot be read, the same model is given twice, or the targets of two models differ.
    """
    found = list[LoadedModel]()
    for path in options.all_models:
        own = replace(options, model=path)
        with step("reading the model", path):
            file = read_model(own, screen)
            for other in found:
                if other.file.sha256 == file.sha256:
                    raise UserError(f"{other.path} and {path} are the same model; give each fold once")
            with model_errors(own):
                found.append(_loaded(own, file, length, n_records))
        _check_alike(found[0].path, path, _of_targets(found[0].targets), _of_targets(found[-1].targets))
    return tuple(found)


def _loaded(
    options: ScoreOptions, file: ModelFile, length: Callable[[ModelFile], int], n_records: int | None
) -> LoadedModel:
    alone = with_further_inputs(options, file, lambda: [length(file)], n_records)
    return LoadedModel(options.model, alone, find_targets(options, alone, lambda: length(alone)))


def explain_models(
    options: ScoreOptions,
    models: Sequence[LoadedModel],
    first_length: Callable[[], int],
    n_sequences: int,
    screen: Screen,
) -> Explained:
    """Record all models of a run.

    The batch size, and whether scoring is compiled, are those of the first model. If the scoring of a model
    cannot be compiled, no model's is.

    Parameters
    ----------
    options, first_length, n_sequences, screen
        The arguments of `explain`; the options' targets are those that `read_models` found.
    models : sequence of LoadedModel

    Raises
    ------
    UserError
        As `explain`, with the file of the model; or if two models differ in what they take or return.
    """
    weights = [_weight_bytes(model.file, options.precision) for model in models]
    behind = [*accumulate(reversed(weights[1:]), initial=0)][::-1]  # of the models after each one
    found = list[Explained]()
    for model, others in zip(models, behind, strict=True):
        if found:
            options = replace(
                options, batch_size=found[0].batch_size, compile="on" if found[0].is_compiled else "off"
            )
            _check_batch_size(models[0], model, found[0].batch_size)
        with step("recording the model", model.path):
            found.append(_explained(options, model, first_length, n_sequences, screen, others))
        _check_alike(models[0].path, model.path, _of_model(found[0]), _of_model(found[-1]))
    if len({fold.is_compiled for fold in found}) > 1:
        options = replace(options, batch_size=found[0].batch_size, compile="off")
        found = [
            _explained(options, model, first_length, n_sequences, screen, 0) if fold.is_compiled else fold
            for model, fold in zip(models, found, strict=True)
        ]
    if len(found) == 1:
        return found[0]
    first = {item.name: getattr(found[0], item.name) for item in fields(Explained)}
    return ExplainedFolds(**first, folds=tuple(found))


def _explained(
    options: ScoreOptions,
    model: LoadedModel,
    first_length: Callable[[], int],
    n_sequences: int,
    screen: Screen,
    others: int,
) -> Explained:
    own = replace(options, model=model.path)
    return explain(own, model.file, model.targets, first_length, n_sequences, screen, others)


def _weight_bytes(model: ModelFile, precision: str) -> int:
    """Return the bytes of a model's weights in the type of the computation: a recording copies them."""
    tensors = [*model.module.parameters(), *model.module.buffers()]
    numbers = sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
    size: int = getattr(torch, precision).itemsize
    return numbers * size


def _of_targets(targets: ModelTargets) -> Mapping[str, object]:
    """Return what the targets of all models must have in common, by its name in messages."""
    names = _shown(targets.specs)
    return {
        "the targets": names,
        f"the output of {names}": targets.outputs,
        f"the place of {names} in the output": targets.scalars,
    }


def _of_model(explained: Explained) -> Mapping[str, object]:
    """Return what all models must have in common, by its name in messages."""
    return {
        "the layout of the input": explained.layout.name,
        "the length of the sequences": "any" if explained.takes_any_length else f"{explained.length:,} bp",
        "the shape of the output without the batch": explained.output_shape,
        "what is explained": explained.explained,
    }


def _check_alike(first: Path, other: Path, ours: Mapping[str, object], theirs: Mapping[str, object]) -> None:
    """Refuse two models that differ in one of these facts, which have the same order.

    Raises
    ------
    UserError
        With both files and the first difference.
    """
    for (name, before), now in zip(ours.items(), theirs.values(), strict=True):
        if before != now:
            raise UserError(
                f"{other} cannot be averaged with {first}: they differ in {name} ({_shown(now)} and "
                f"{_shown(before)})"
            )


def _shown(value: object) -> str:
    """Return a value for a message."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_batch_size(first: LoadedModel, other: LoadedModel, rows: int) -> None:
    """Refuse a model whose file declares another batch size than that of the first model's batches."""
    declared = other.file.batch_size
    if declared not in (None, rows):
        raise UserError(
            f"{other.path} cannot be averaged with {first.path}: it takes batches of {declared} only, not "
            f"of {rows}; give --batch-size {declared} if {first.path} takes batches of any size"
        )
