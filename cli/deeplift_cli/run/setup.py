"""What every scoring job does before its first batch: name outputs, record models, say what it does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from math import prod
from typing import Any, Protocol, TypeVar

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained, chosen_device
from deeplift_cli.models.fold_mean import LoadedModel, explain_models
from deeplift_cli.models.targets import need_the_model
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.screen import Screen
from deeplift_cli.run.fingerprint import fingerprint
from deeplift_cli.run.output_paths import Outputs, free_outputs
from deeplift_cli.run.skipped_tables import SkippedTables

Options = TypeVar("Options", bound=ScoreOptions)
Named = TypeVar("Named", bound=Outputs)


class KeepsDecisions(Protocol):
    """The folders with a job's finished batches, in which an earlier run kept what it chose by itself."""

    @property
    def decisions(self) -> Mapping[str, Any]:
        """The choices of an earlier run, by the names of options; empty if there was none."""

    def keep_decisions(self, **decisions: Any) -> None:
        """Save the choices of this run."""


def early_outputs(name: Callable[[Options], Named], options: Options) -> Named | None:
    """Return the outputs as `free_outputs`; None if only the model can say what the targets are."""
    return None if need_the_model(options.targets) else free_outputs(name, options)


def settled(
    options: Options,
    models: Sequence[LoadedModel],
    outputs: Named | None,
    name: Callable[[Options], Named],
) -> tuple[Options, Named]:
    """Return the options with the targets that the models found, and the outputs of these targets.

    Parameters
    ----------
    options : ScoreOptions
    models : sequence of LoadedModel
    outputs : Outputs or None
        The outputs of the targets in the options, if these are known.
    name : callable
        Names the outputs of a run with some options.

    Raises
    ------
    UserError, OptionsError
        As `free_outputs`.
    """
    targets = models[0].targets.specs
    if options.targets != targets:
        options, outputs = replace(options, targets=targets), None
    return options, outputs or free_outputs(name, options)


def job_of(options: ScoreOptions, models: Sequence[LoadedModel]) -> dict[str, Any]:
    """Return the fingerprint of a job, which is that of all its shards."""
    digests = [model.file.sha256 for model in models]
    return fingerprint(options, digests, chosen_device(options.device).type)


def of_shard(job: Mapping[str, Any], options: ScoreOptions) -> dict[str, Any]:
    """Return the fingerprint of the finished batches of a job, which are those of one shard."""
    return {**job, "--shard": None if options.shard is None else str(options.shard)}


def explained_models(
    options: ScoreOptions,
    models: Sequence[LoadedModel],
    length: Callable[[], int],
    n_records: int,
    folder: KeepsDecisions,
    screen: Screen,
) -> Explained:
    """Record the models, with the batch size and the compilation that an earlier run may have chosen.

    Parameters
    ----------
    options : ScoreOptions
    models : sequence of LoadedModel
    length : callable
        Returns the length of the sequences.
    n_records : int
        The number of records in the input.
    folder : KeepsDecisions
    screen : Screen
    """
    explained = explain_models(replace(options, **folder.decisions), models, length, n_records, screen)
    folder.keep_decisions(batch_size=explained.batch_size, compile="on" if explained.is_compiled else "off")
    return explained


def settings_of(options: ScoreOptions, explained: Explained, references: str, window: str) -> dict[str, str]:
    """Return what the summary says of how records were scored, by the name of the line.

    Parameters
    ----------
    options : ScoreOptions
    explained : Explained
    references, window : str
        What records are compared with, and what the model sees of each.
    """
    layers = f", and {len(options.layer_rules)} of layers" if options.layer_rules else ""
    folds = {"model": f"mean of {explained.n_models} folds"} if explained.n_models > 1 else {}
    inputs = explained.model.further
    further = {} if inputs is None else {"further inputs": str(inputs)}
    number = prod(explained.output_shape)
    chosen = f"; the first of {number:,}: --target chooses" if options.default_target and number > 1 else ""
    return (
        folds
        | further
        | {
            "target": explained.explained + chosen,
            "rule": options.rule + layers,
            "reference": references,
            "window": f"{explained.length:,} bp{window}",
        }
    )


def attributes_of_run(options: ScoreOptions, explained: Explained, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that the files of all targets have in common."""
    return options.as_attributes() | {
        "model_sha256": explained.sha256,
        "batch_size": explained.batch_size,
        "versions": {"deeplift": deeplift_version(), "torch": version("torch"), "numpy": version("numpy")},
        "fingerprint": dict(job),
    }


def nothing_left(what: str, options: ScoreOptions, skipped: SkippedTables) -> UserError:
    """Return the error of a job without any score, which says why no record has one.

    Parameters
    ----------
    what : str
        The word for a record.
    options : ScoreOptions
    skipped : SkippedTables
    """
    first = next(iter(skipped.first), None)
    example = f"; the first, {first.name} (line {first.line}), {first.reason}" if first else ""
    genome = f" in genome {options.genome}" if options.genome is not None else ""
    # Scores that are not finite may come from the model as well as from the record, so both are named.
    further = len(options.all_models) - 1
    models = f"{options.model} and {further} more" if further else f"{options.model}"
    model = f" with {models}" if skipped.unscored else ""
    source = f"{options.records}{genome}{model}"
    return UserError(f"no {what} is left to score of {source}: {skipped.count:,} skipped{example}")
