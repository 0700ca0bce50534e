"""Merging of score files: the shards of one job in order, or the mean of the folds of a cross-validation."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.options.shards import parse_shard
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.export import add_output
from deeplift_cli.outputs.own_folder import SKIPPED
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch, pack
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_file import ScoreFile, companions
from deeplift_cli.outputs.score_reader import ScoreReader, probed
from deeplift_cli.outputs.scratch import Scratch
from deeplift_cli.outputs.skipped import HEADING
from deeplift_cli.process.signals import check_stopped, deferred, interruptible
from deeplift_cli.run.fingerprint import MODEL
from deeplift_cli.sequences.genome import Genome

_MISSING_SHOWN = 20
_AVERAGED = ("hypothetical", "prediction", "output", "reference_output", "completeness_error")


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """Options of `deeplift merge`, named as on the command line."""

    parts: tuple[Path, ...]
    out: Path
    average: bool = False
    bigwig: Path | None = None
    chrom_sizes: Path | None = None
    genome: Path | None = None
    overlap: str = "nearest-centre"
    overwrite: bool = False


def merge(options: MergeOptions, note: Callable[[str], None]) -> tuple[int, list[Path]]:
    """Make one score file of several; the memory does not grow with the files.

    All values are compared with the checksums in the parts.

    Parameters
    ----------
    options : MergeOptions
    note : callable
        Called with lines that the user should read.

    Returns
    -------
    rows : int
        Number of rows in the new file.
    written : list of Path

    Raises
    ------
    UserError
        If a part is missing, given twice, damaged, or of another job; or an output cannot be written.
    """
    written = [options.out, *companions(options.out)]
    if options.bigwig is not None:
        written.append(options.bigwig)
    check_writable(written, True, [*options.parts, *map(_skipped_of, options.parts)])
    with deferred(), Scratch(options.out, "merge") as scratch:
        with interruptible():
            others = [path for path in written if path.absolute() not in scratch.begun]
            check_writable(others, options.overwrite)
            parts = [probed(path) for path in options.parts]
            sizes = _chrom_sizes(options, parts[0])
            _note_unchecked(parts, note)
        with compressing_threads() as pool:
            with interruptible():
                combined = _average(parts, pool) if options.average else _shards(parts, pool)
                skipped = _skipped(combined.skipped_of, scratch.folder)
            rows = _write(options, combined, skipped, scratch, sizes, written)
    return rows, written


def _write(
    options: MergeOptions,
    combined: "_Combined",
    skipped: Path,
    scratch: Scratch,
    sizes: dict[str, int] | None,
    written: Sequence[Path],
) -> int:
    """Write all outputs, which appear together, and return the number of rows."""
    with Publication(scratch.folder) as publication:
        with ScoreFile(
            options.out,
            combined.first.layout,
            skipped=skipped,
            attrs=combined.attrs,
            chrom_sizes=combined.first.chrom_sizes,
            overwrite=True,  # whether the file may be replaced was checked before
            publication=publication,
        ) as file:
            for batch in combined.batches:
                file.append(batch)
                check_stopped()
        if options.bigwig is not None:
            with interruptible():
                given = {"overlap": options.overlap}
                add_output(publication, "bigwig", options.bigwig, file.temporary, sizes, given)
        check_stopped()
        scratch.mark_complete(written)
    scratch.mark_published()
    return file.n_rows


def _note_unchecked(parts: Sequence[ScoreReader], note: Callable[[str], None]) -> None:
    without = [str(part.path) for part in parts if not part.checksums]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        note(
            f"{without[0]}{more} has no checksums, since an earlier version of deeplift wrote it: only "
            "compressed datasets can be checked"
        )


@dataclass(frozen=True)
class _Combined:
    """The content of the new file."""

    first: ScoreReader
    attrs: dict[str, Any]
    batches: Iterator[PackedBatch]
    skipped_of: Sequence[ScoreReader]


def _chrom_sizes(options: MergeOptions, part: ScoreReader) -> dict[str, int] | None:
    """Return the lengths of chromosomes in bp for a bigWig; None if no bigWig is wanted."""
    if options.bigwig is None:
        return None
    if options.chrom_sizes is not None:
        return read_chrom_sizes(options.chrom_sizes)
    if options.genome is not None:
        return Genome(options.genome).sizes
    if part.chrom_sizes is None:
        raise UserError(
            f"{part.path} does not keep the lengths of chromosomes, which --bigwig needs; give --chrom-sizes "
            "or --genome"
        )
    return part.chrom_sizes


# ---- shards


def _shards(parts: Sequence[ScoreReader], pool: Executor) -> _Combined:
    """Combine shards one after the other, as one run would have written their rows."""
    ordered = _in_order(parts)
    first = ordered[0]
    for part in ordered[1:]:
        _check_same_job(first, part, "is of another job than")
    attrs = first.attrs | {
        "shard": None,
        "n_skipped": sum(part.n_skipped for part in ordered),
        "worst_relative_completeness_error": float(np.max([part.worst for part in ordered])),
        "merged_from": [part.path.name for part in ordered],
    }
    return _Combined(first, attrs, (batch for part in ordered for batch in part.packed(pool)), ordered)


def _in_order(parts: Sequence[ScoreReader]) -> list[ScoreReader]:
    """Return the shards in the order of their numbers.

    Raises
    ------
    UserError
        If the parts are not all shards of one division, each once.
    """
    found: dict[int, ScoreReader] = {}
    count = 0
    for part in parts:
        if part.shard is None:
            raise UserError(
                f"{part.path} is no shard but a whole job; to average the folds of a cross-validation, "
                "give --average"
            )
        shard = parse_shard(part.shard)
        count = count or shard.count
        if shard.count != count:
            raise UserError(f"{part.path} is shard {shard}, {parts[0].path} one of {count}")
        if shard.number in found:
            raise UserError(f"shard {shard} is there twice: {found[shard.number].path} and {part.path}")
        found[shard.number] = part
    n_missing = count - len(found)
    if n_missing:
        missing = islice((str(n) for n in range(1, count + 1) if n not in found), _MISSING_SHOWN)
        more = f" and {n_missing - _MISSING_SHOWN:,} more" if n_missing > _MISSING_SHOWN else ""
        plural = "s" if n_missing > 1 else ""
        raise UserError(
            f"shard{plural} {', '.join(missing)}{more} of {count} missing; score and give them all"
        )
    return [found[number] for number in sorted(found)]


def _check_same_job(
    first: ScoreReader, part: ScoreReader, otherwise: str, without: Container[str] = ()
) -> None:
    """Refuse a part whose fingerprint or layout differs from the first one's; entries in `without` may."""
    before, now = first.fingerprint, part.fingerprint
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in without]
    names += ["the target"] * (first.target != part.target)
    ours, theirs = first.layout, part.layout
    names += ["the lengths of the sequences"] * (ours.length != theirs.length)
    names += ["the numbers of references"] * (ours.n_references != theirs.n_references)
    names += ["the types of scores (--dtype)"] * (ours.dtype != theirs.dtype)
    names += ["the numbers of rows a batch (--batch-size)"] * (ours.batch_size != theirs.batch_size)
    names += ["the datasets of standard errors (--standard-errors)"] * (ours.optional != theirs.optional)
    if names:
        raise UserError(f"{part.path} {otherwise} {first.path}: {', '.join(names)} differ")


# ---- averages


def _average(parts: Sequence[ScoreReader], pool: Executor) -> _Combined:
    """Average row by row over models that scored the same sequences for the same target and options."""
    first = parts[0]
    if len(parts) < 2:
        raise UserError("an average takes two score files or more")
    for part in parts:
        if part.shard is not None:
            raise UserError(f"{part.path} is a shard; merge the shards of each fold first")
        if isinstance(part.model, list):
            raise UserError(f"{part.path} is an average already; give the files that it is made of")
        _check_same_job(first, part, "cannot be averaged with", without=(MODEL,))
        if part.n_rows != first.n_rows:
            raise UserError(f"{part.path} has {part.n_rows:,} sequences, {first.path} has {first.n_rows:,}")
    _check_distinct(parts, [part.checksums for part in parts])
    attrs = first.attrs | {
        "model": [part.attrs.get("model") for part in parts],
        "model_sha256": [part.model for part in parts],
        "worst_relative_completeness_error": float(np.max([part.worst for part in parts])),
        "fingerprint": {name: value for name, value in first.fingerprint.items() if name != MODEL} or None,
        "averaged_from": [part.path.name for part in parts],
    }
    batches = (pack(_mean(batches, parts), first.layout, pool) for batches in _together(parts, pool))
    return _Combined(first, attrs, batches, [first])


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
        for name in _AVERAGED:
            if not np.isfinite(getattr(batch, name)).all():
                raise UserError(
                    f"{part.path} has values that are not finite numbers in {name} at {_records(first)}; "
                    "score it again"
                )
    means: dict[str, Any] = {
        name: np.mean([getattr(batch, name) for batch in batches], axis=0, dtype=np.float64)
        for name in _AVERAGED
    }
    means["identical_references"] = np.max([batch.identical_references for batch in batches], axis=0)
    # All parts use the same references, so that their errors may be fully correlated: the mean of their
    # standard errors is an upper bound of the standard error of the mean.
    for name, combine in (
        ("rescored", np.sum),
        ("standard_error", np.mean),
        ("position_standard_error", np.mean),
    ):
        if getattr(first, name) is not None:
            means[name] = combine([getattr(batch, name) for batch in batches], axis=0)
    return replace(first, **means)


def _records(batch: ScoredBatch) -> str:
    return f"records {batch.regions[0].index + 1} to {batch.regions[-1].index + 1}"


# ---- skipped records


def _skipped_of(path: Path) -> Path:
    return companions(path)[1]


def _skipped(parts: Sequence[ScoreReader], scratch: Path) -> Path:
    """Merge the tables of skipped records beside the parts into one table."""
    table = scratch / SKIPPED
    with table.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        file.write(HEADING)
        for part in parts:
            if part.n_skipped:
                file.writelines(_skipped_lines(part))
    return table


def _skipped_lines(part: ScoreReader) -> list[str]:
    path = _skipped_of(part.path)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = list(file)
    except OSError as error:
        raise UserError(f"{path}, which belongs to {part.path}, cannot be read: {error.strerror}") from error
    if len(lines) != part.n_skipped + 1:
        raise UserError(f"{path} does not belong to {part.path}, which skipped {part.n_skipped}")
    return lines[1:]
