"""One of several equal shares of a job: `--shard 2/4`, or the place in a Slurm array.

Slurm tells a task its own number and the size of the current array, but nothing about an array that was
submitted before. `sbatch --array=1-5`, which runs five tasks of twenty again, looks like a job of five
shards. `auto/20` therefore takes the number of shards from the command. `auto` alone takes the number of
shards from the array and marks the number as a guess, which `scoring_run` refuses if there are shards of
another division.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from deeplift_cli.options.numbers import whole_number

_MOST_SHARDS = 10**9  # a job has fewer batches; the number of shards is a part of file names


@dataclass(frozen=True)
class Shard:
    """The I-th of N shares, counted from 1.

    Attributes
    ----------
    number, count : int
        I and N.
    is_guess : bool
        True if N is the size of a Slurm array, which may be only a part of the job's whole array.
    """

    number: int
    count: int
    is_guess: bool = field(default=False, compare=False)

    @property
    def label(self) -> str:
        """The shard in a file name, such as "2-of-4"."""
        return f"{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def batches(self, n_batches: int) -> range:
        """Return the batches of this shard: contiguous, and with sizes that differ by at most one batch."""
        first, last = ((place * n_batches) // self.count for place in (self.number - 1, self.number))
        return range(first, last)


def parse_shard(text: str) -> Shard:
    """Parse ``I/N``, ``auto/N`` or ``auto``.

    Raises
    ------
    ValueError
        If the text is none of these, or the environment does not give the place in the array.
    """
    if text == "auto":
        return _from_slurm(os.environ)
    given, _, whole = text.partition("/")
    is_auto = given == "auto"
    try:
        count = whole_number(whole)
        number = count if is_auto else whole_number(given)
    except ValueError:
        number = count = 0
    if not 1 <= number <= count <= _MOST_SHARDS:
        raise ValueError(
            f"{text[:40]!r} is neither auto, auto/N nor I/N with I from 1 to N, such as 2/4, and N at most "
            f"{_MOST_SHARDS:,}"
        )
    return _task_of(count, os.environ) if is_auto else Shard(number, count)


def _task_of(count: int, variables: Mapping[str, str]) -> Shard:
    """Return the shard that has the task's number, whichever tasks the current array has."""
    (task,) = _numbers(variables, "ID")
    if not 1 <= task <= count:
        raise ValueError(
            f"auto/{count} is for tasks from 1 to {count} (sbatch --array=1-{count}, or some of these), and "
            f"this one is {task}"
        )
    return Shard(task, count)


def _numbers(variables: Mapping[str, str], *names: str) -> list[int]:
    """Return the numbers in environment variables of a task of a Slurm array."""
    try:
        return [whole_number(variables[f"SLURM_ARRAY_TASK_{name}"]) for name in names]
    except KeyError as error:
        raise ValueError(f"auto is for tasks of a Slurm array, and {error.args[0]} is not set") from error
    except ValueError as error:
        raise ValueError(f"auto is for tasks of a Slurm array, and of its variables {error}") from error


def _from_slurm(variables: Mapping[str, str]) -> Shard:
    """Return the shard from the environment variables of a task of ``sbatch --array=1-N``.

    An array that begins elsewhere, or has gaps, is probably a part of a larger array that runs again; the
    size of such an array says nothing about the number of shards.
    """
    task, count, low, high = _numbers(variables, "ID", "COUNT", "MIN", "MAX")
    if not low <= task <= high:
        raise ValueError(f"auto: the place in the array, {task}, is not from {low} to {high}")
    if low not in (0, 1) or high - low + 1 != count:
        raise ValueError(
            f"auto needs an array 1-N or 0-(N-1) without gaps, not {count} tasks from {low} to {high}; "
            "to run a few tasks again, give --shard auto/N with the N of the whole array"
        )
    return Shard(task - low + 1, count, is_guess=True)
