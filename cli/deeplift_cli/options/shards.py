"""One of several equal shares of a job: `--shard 2/4`, or the place in a Slurm array."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from deeplift_cli.options.numbers import whole_number

_MOST_SHARDS = 10**9  # a job has fewer batches, and its number of them is in the names of files


@dataclass(frozen=True)
class Shard:
    """The I-th of N shares, counted from 1.

    Attributes
    ----------
    number, count : int
        I and N.
    """

    number: int
    count: int

    @property
    def label(self) -> str:
        """In a file's name: "2-of-4"."""
        return f"{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def batches(self, n_batches: int) -> range:
        """The batches of this share: contiguous, and as many as in any other or one more."""
        first, last = ((place * n_batches) // self.count for place in (self.number - 1, self.number))
        return range(first, last)


def parse_shard(text: str) -> Shard:
    """Parse ``I/N`` or ``auto``.

    Raises
    ------
    ValueError
        If it is neither, or the place in the array cannot be told.
    """
    if text == "auto":
        return _from_slurm(os.environ)
    try:
        number, count = (whole_number(part) for part in text.split("/", 1))
    except ValueError:
        number = count = 0
    if not 1 <= number <= count <= _MOST_SHARDS:
        raise ValueError(
            f"{text[:40]!r} is neither auto nor I/N with I from 1 to N, such as 2/4, and N at most "
            f"{_MOST_SHARDS:,}"
        )
    return Shard(number, count)


def _from_slurm(variables: Mapping[str, str]) -> Shard:
    """From the variables that a task of ``sbatch --array=1-N`` has.

    An array that begins elsewhere, or has gaps, is likely to be a part of a larger one that is run again:
    its size says nothing about the number of shards.
    """
    names = ("ID", "COUNT", "MIN", "MAX")
    try:
        task, count, low, high = (whole_number(variables[f"SLURM_ARRAY_TASK_{name}"]) for name in names)
    except KeyError as error:
        raise ValueError(f"auto is for tasks of a Slurm array, and {error.args[0]} is not set") from error
    except ValueError as error:
        raise ValueError(f"auto is for tasks of a Slurm array, and of its variables {error}") from error
    if not low <= task <= high:
        raise ValueError(f"auto: the place in the array, {task}, is not from {low} to {high}")
    if low not in (0, 1) or high - low + 1 != count:
        raise ValueError(
            f"auto needs an array 1-N or 0-(N-1) without gaps, not {count} tasks from {low} to {high}; "
            "to run a few tasks again, give --shard I/N with the N of the whole array"
        )
    return Shard(task - low + 1, count)
