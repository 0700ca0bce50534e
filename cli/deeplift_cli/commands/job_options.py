"""Options of `score` and `variants` that say which part of a job a run does, and how the run ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeplift_cli.commands.shared_options import parsed
from deeplift_cli.options.shards import parse_shard
from deeplift_cli.options.targets import may_be_several

if TYPE_CHECKING:  # the module imports torch, for which --help should not wait
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.run.summary import Summary

SHARD = click.option(
    "--shard",
    callback=parsed(parse_shard),
    metavar="I/N|auto/N|auto",
    help="Score the I-th of N shares only; auto/N: I is the task's number in a Slurm array 1-N; auto: N is "
    "the array's size.",
)
RESUME = click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Resume an interrupted run of the same job.",
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")


def refuse_contradicting_shard(given: Mapping[str, Any]) -> None:
    """Refuse a shard without a batch size.

    Raises
    ------
    click.UsageError
    """
    if given["shard"] and given["batch_size"] is None:
        raise click.UsageError("--shard needs --batch-size K: shares are cut between batches")


def refuse_names_of_outputs(
    given: Mapping[str, Any], *, of_shards: Sequence[str], of_targets: Sequence[str]
) -> None:
    """Refuse names of outputs that do not go with the shard or the targets.

    Parameters
    ----------
    given : mapping of str to anything
        The options by their names in Python.
    of_shards, of_targets : sequence of str
        The options whose names may hold ``{shard}``, and those of which each target has a file.

    Raises
    ------
    click.UsageError
    """
    for name in of_shards:
        if given[name] and "{shard}" in given[name].name and not given["shard"]:
            raise click.UsageError(f"{{shard}} in the name of --{name.replace('_', '-')} goes with --shard")
    for name in of_targets:
        if given[name] and may_be_several(given["targets"]) and "{target}" not in given[name].name:
            raise click.UsageError(
                f"several targets need {{target}} in the name of --{name}, one file for each"
            )


def exit_code_of(summary: "Summary", written: list[Path], screen: "Screen") -> int:
    """Show the summary of a finished run and its warnings, and return the exit code."""
    screen.show(summary.lines(written))
    for line in summary.warnings():
        screen.note(f"warning: {line}")
    beyond = summary.beyond_limit()
    if beyond is None:
        return 0
    screen.problem(beyond)
    return 3
