"""Merging of the shards of one job in order, as one run would have written their rows."""

from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deeplift_cli.errors import UserError
from deeplift_cli.merge.parts import Combined, check_same_job, worst_of
from deeplift_cli.options.shards import parse_shard
from deeplift_cli.outputs.score_reader import ScoreReader

_MISSING_SHOWN = 20


def end_to_end(parts: Sequence[ScoreReader], pool: Executor) -> Combined:
    """Return the merged content of the shards of one job, in the order of the shards.

    Parameters
    ----------
    parts : sequence of ScoreReader
        The shards in any order.
    pool : Executor
        The threads that inflate chunks and compute checksums.

    Raises
    ------
    UserError
        If the parts are not all shards of one job, each once.
    """
    ordered = in_order(parts, "to average the folds of a cross-validation, give --average")
    first = ordered[0]
    for part in ordered[1:]:
        check_same_job(first, part, "is of another job than")
    batches = (batch for part in ordered for batch in part.packed(pool))
    return Combined(first, first.layout, merged_attributes(ordered), batches, ordered)


def merged_attributes(ordered: Sequence[ScoreReader]) -> dict[str, Any]:
    """Return the attributes of the file that is made of all shards of a job, in order."""
    return ordered[0].attrs | {
        "shard": None,
        "n_skipped": sum(part.n_skipped for part in ordered),
        "worst_relative_completeness_error": worst_of(ordered),
        "merged_from": [part.path.name for part in ordered],
    }


class Part(Protocol):
    """A file that may be a shard."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def shard(self) -> str | None:
        """The shard, such as "2/4"; None for a whole job."""


Parts = TypeVar("Parts", bound=Part)


def in_order(parts: Sequence[Parts], way_out: str) -> list[Parts]:
    """Return the shards in the order of their numbers.

    Parameters
    ----------
    parts : sequence of files
    way_out : str
        What to do with whole jobs, for the message about one.

    Raises
    ------
    UserError
        If the parts are not all shards of one division, each once.
    """
    found: dict[int, Parts] = {}
    count = 0
    for part in parts:
        if part.shard is None:
            raise UserError(f"{part.path} is no shard but a whole job; {way_out}")
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
