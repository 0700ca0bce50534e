"""Score files put together: the shards of one job end to end, or the folds of a cross-validation averaged."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import (
    PackedBatch,
    ScoredBatch,
    ScoreFile,
    check_writable,
    companions,
    not_written,
    pack,
    read_chrom_sizes,
    write_bigwig,
)
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.publish import short_name
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.skipped import HEADING
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.shards import parse_shard
from deeplift_cli.stopping import check_stopped, deferred, interruptible


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """Options of `deeplift merge`; names are those of the command line."""

    parts: tuple[Path, ...]
    out: Path
    average: bool = False
    bigwig: Path | None = None
    chrom_sizes: Path | None = None
    genome: Path | None = None
    overlap: str = "nearest-centre"
    overwrite: bool = False


def merge(options: MergeOptions) -> tuple[int, list[Path]]:
    """Make one score file of several, in memory that does not grow with them.

    Returns
    -------
    rows : int
        In the new file.
    written : list of Path

    Raises
    ------
    UserError
        If a part is missing, given twice, damaged, or of another job; or an output cannot be written.
    """
    written = [options.out, *companions(options.out)]
    if options.bigwig is not None:
        written.append(options.bigwig)
    check_writable(written, options.overwrite, [*options.parts, *map(_skipped_of, options.parts)])
    sizes = _chrom_sizes(options)
    parts = [ScoreReader(path) for path in options.parts]
    with deferred(), ExitStack() as stack:
        scratch = stack.enter_context(_scratch(options.out))
        with interruptible():
            combined = _average(parts, stack) if options.average else _shards(parts)
            skipped = _skipped(combined.skipped_of, scratch)
        rows = _write(options, combined, skipped, scratch)
        if options.bigwig is not None:
            with interruptible():
                write_bigwig(options.bigwig, options.out, sizes, options.overlap, options.overwrite, scratch)
    return rows, written


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder beside the output for what is unfinished; also what a killed run left there goes."""
    folder = out.with_name(f".{short_name(out.name)}.merge")
    try:
        lock = FolderLock(folder)
    except LockedError as error:
        raise UserError(f"output {out} is being written by another run ({error}); wait for it") from error
    except OSError as error:
        raise not_written(out, error) from error
    try:
        for entry in folder.iterdir():
            if entry.name != "lock":
                entry.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _write(options: MergeOptions, combined: "_Combined", skipped: Path, scratch: Path) -> int:
    """Write the score file, and return its number of rows."""
    with ScoreFile(
        options.out,
        combined.first.layout,
        skipped=skipped,
        attrs=combined.attrs,
        overwrite=options.overwrite,
        scratch=scratch,
    ) as file:
        for batch in combined.batches:
            file.append(batch)
            check_stopped()
    return file.n_rows


@dataclass(frozen=True)
class _Combined:
    """What the new file is to hold."""

    first: ScoreReader
    attrs: dict[str, Any]
    batches: Iterator[PackedBatch]
    skipped_of: Sequence[ScoreReader]


def _chrom_sizes(options: MergeOptions) -> dict[str, int]:
    if options.chrom_sizes is not None:
        return read_chrom_sizes(options.chrom_sizes)
    return Genome(options.genome).sizes if options.genome is not None else {}


# ---- shards


def _shards(parts: Sequence[ScoreReader]) -> _Combined:
    """End to end, as one run would have written them."""
    ordered = _in_order(parts)
    first = ordered[0]
    for part in ordered[1:]:
        _check_same_job(first, part)
    errors = [part.attrs["worst_relative_completeness_error"] for part in ordered]
    attrs = first.attrs | {
        "shard": None,
        "n_skipped": sum(part.attrs["n_skipped"] for part in ordered),
        "worst_relative_completeness_error": float(np.max(errors)),
        "merged_from": [part.path.name for part in ordered],
    }
    return _Combined(first, attrs, (batch for part in ordered for batch in part.packed()), ordered)


def _in_order(parts: Sequence[ScoreReader]) -> list[ScoreReader]:
    """By their numbers.

    Raises
    ------
    UserError
        If they are not all shards of one division, each once.
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
    missing = [str(number) for number in range(1, count + 1) if number not in found]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise UserError(f"shard{plural} {', '.join(missing)} of {count} missing; score and give them all")
    return [found[number] for number in sorted(found)]


def _check_same_job(first: ScoreReader, part: ScoreReader) -> None:
    before, now = first.fingerprint, part.fingerprint
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    names += ["the target"] * (first.attrs["target"] != part.attrs["target"])
    names += ["the shapes"] * (first.layout != part.layout or first.chunk_rows != part.chunk_rows)
    if names:
        raise UserError(f"{part.path} is of another job than {first.path}: {', '.join(names)} differ")


# ---- averages


def _average(parts: Sequence[ScoreReader], stack: ExitStack) -> _Combined:
    """Row by row, over models that scored the same sequences for the same target."""
    first = parts[0]
    if len(parts) < 2:
        raise UserError("an average takes two score files or more")
    for part in parts:
        if part.shard is not None:
            raise UserError(f"{part.path} is a shard; merge the shards of each fold first")
        _check_same_shape(first, part)
    errors = [part.attrs["worst_relative_completeness_error"] for part in parts]
    attrs = first.attrs | {
        "model": [part.attrs["model"] for part in parts],
        "model_sha256": [part.attrs["model_sha256"] for part in parts],
        "worst_relative_completeness_error": float(np.max(errors)),
        "fingerprint": None,
        "averaged_from": [part.path.name for part in parts],
    }
    pool = stack.enter_context(compressing_threads())
    rows = zip(*(part.unpacked() for part in parts), strict=True)
    batches = (pack(_mean(batches, parts), first.layout, pool) for batches in rows)
    return _Combined(first, attrs, batches, [first])


def _check_same_shape(first: ScoreReader, part: ScoreReader) -> None:
    for what, theirs, ours in (
        ("sequences", first.n_rows, part.n_rows),
        ("bases", first.layout.length, part.layout.length),
        ("references for each", first.layout.n_references, part.layout.n_references),
        ("rows a batch", first.layout.batch_size, part.layout.batch_size),
        ("as target", first.attrs["target"], part.attrs["target"]),
    ):
        if theirs != ours:
            raise UserError(f"{part.path} has {ours} {what}, {first.path} has {theirs}: nothing to average")


def _mean(batches: Sequence[ScoredBatch], parts: Sequence[ScoreReader]) -> ScoredBatch:
    first = batches[0]
    for batch, part in zip(batches, parts, strict=True):
        if batch.regions != first.regions or not np.array_equal(batch.sequences, first.sequences):
            rows = f"records {first.regions[0].index + 1} to {first.regions[-1].index + 1}"
            raise UserError(f"{part.path} and {parts[0].path} hold other sequences at {rows}")
    names = ("hypothetical", "prediction", "output", "reference_output", "completeness_error")
    means: dict[str, Any] = {
        name: np.mean([getattr(batch, name) for batch in batches], axis=0, dtype=np.float64) for name in names
    }
    identical = np.max([batch.identical_references for batch in batches], axis=0)
    return replace(first, **means, identical_references=identical)


# ---- what was skipped


def _skipped_of(path: Path) -> Path:
    return companions(path)[1]


def _skipped(parts: Sequence[ScoreReader], scratch: Path) -> Path:
    """One table of those beside the parts."""
    table = scratch / "skipped.tsv"
    with table.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        file.write(HEADING)
        for part in parts:
            if part.attrs["n_skipped"]:
                file.writelines(_skipped_lines(part))
    return table


def _skipped_lines(part: ScoreReader) -> list[str]:
    path = _skipped_of(part.path)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = list(file)
    except OSError as error:
        raise UserError(f"{path}, which belongs to {part.path}, cannot be read: {error.strerror}") from error
    if len(lines) != part.attrs["n_skipped"] + 1:
        raise UserError(f"{path} does not belong to {part.path}, which skipped {part.attrs['n_skipped']}")
    return lines[1:]
