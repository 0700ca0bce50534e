"""The mean of scores over the folds of a cross-validation, sequence by sequence."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.folds import MEANS, mean_of_folds
from deeplift_cli.merge.parts import Combined, check_same_job, worst_of
from deeplift_cli.outputs.datasets import FOLD_SD
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.run.fingerprint import MODEL


def average(parts: Sequence[ScoreReader], pool: Executor) -> Combined:
    """Return the mean of several models' scores of the same sequences and target, with the same options.

    Parameters
    ----------
    parts : sequence of ScoreReader
        The score files of two or more whole jobs of different models.
    pool : Executor
        The threads that inflate and compress chunks and compute checksums.

    Raises
    ------
    UserError
        If the parts differ in more than the model, or two parts have the same scores.
    """
    first = parts[0]
    if len(parts) < 2:
        raise UserError("an average takes two score files or more")
    for part in parts:
        if part.shard is not None:
            raise UserError(f"{part.path} is a shard; merge the shards of each fold first")
        if isinstance(part.model, list):
            raise UserError(_is_an_average(part, len(part.model)))
        check_same_job(first, part, "cannot be averaged with", without=(MODEL,))
        if part.n_rows != first.n_rows:
            raise UserError(f"{part.path} has {part.n_rows:,} sequences, {first.path} has {first.n_rows:,}")
    _check_distinct(parts, [part.checksums for part in parts])
    attrs = first.attrs | {
        "model": [part.attrs.get("model") for part in parts],
        "model_sha256": [part.model for part in parts],
        "worst_relative_completeness_error": worst_of(parts),
        "fingerprint": {name: value for name, value in first.fingerprint.items() if name != MODEL} or None,
        "averaged_from": [part.path.name for part in parts],
    }
    layout = replace(first.layout, optional=first.layout.optional | {FOLD_SD})
    batches = (pack(_mean(batches, parts), layout, pool) for batches in _together(parts, pool))
    return Combined(first, layout, attrs, batches, [first])


def _is_an_average(part: ScoreReader, models: int) -> str:
    """Return why the mean of several models is no part of an average: each model would count differently."""
    if "averaged_from" in part.attrs:
        return f"{part.path} is an average already; give the files that it is made of"
    return (
        f"{part.path} is the mean of {models} models already; to add models, give all of them to one "
        "deeplift score"
    )


def _check_distinct(parts: Sequence[ScoreReader], checksums: Sequence[Mapping[str, str]]) -> None:
    """Refuse a file that is given twice, also a copy, which has the same model and the same scores."""
    seen: dict[object, Path] = {}
    for part, sums in zip(parts, checksums, strict=True):
        stat = part.path.stat()
        keys: list[object] = [(stat.st_dev, stat.st_ino)]
        if sums:
            keys.append((part.model, *(sums[name] for name in ("shap/seq", "qc/output"))))
        for key in keys:
            if key in seen:
                raise UserError(f"{part.path} and {seen[key]} are the same scores of the same model")
        seen |= dict.fromkeys(keys, part.path)


def _together(parts: Sequence[ScoreReader], pool: Executor) -> Iterator[list[ScoredBatch]]:
    """Yield the same rows of all parts, batch by batch."""
    for batches in zip(*(part.unpacked(pool) for part in parts), strict=True):
        yield list(batches)
    _check_distinct(parts, [part.found_checksums for part in parts])


def _mean(batches: Sequence[ScoredBatch], parts: Sequence[ScoreReader]) -> ScoredBatch:
    first = batches[0]
    for batch, part in zip(batches, parts, strict=True):
        if batch.regions != first.regions or not np.array_equal(batch.sequences, first.sequences):
            raise UserError(f"{part.path} and {parts[0].path} hold other sequences at {_records(first)}")
        for name in MEANS:
            values = getattr(batch, name)
            if values is not None and not np.isfinite(values).all():
                raise UserError(
                    f"{part.path} has values that are not finite numbers in {name} at {_records(first)}; "
                    "score it again"
                )
    means = mean_of_folds(first.sequences, [vars(batch) for batch in batches])
    identical = [batch.identical_references for batch in batches if batch.identical_references is not None]
    means["identical_references"] = np.max(identical, axis=0) if identical else None
    return replace(first, **means)


def _records(batch: ScoredBatch) -> str:
    return f"records {batch.regions[0].index + 1} to {batch.regions[-1].index + 1}"
