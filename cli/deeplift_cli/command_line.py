"""The click command and its subcommands."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import click

from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.extensions import Registry

# Each subcommand has a module of its own, which is imported when it is called: `deeplift --help` must be
# quick.
COMMANDS = {
    "score": "Score sequences: which bases made the model say this?",
    "variants": "Score variants: what does the other allele change, and through which bases?",
    "prepare": "Prepare an input, so that many shards of it start at once.",
    "merge": "Put the shards of a job together, or average the folds of a cross-validation.",
    "verify": "Verify score files: checksums, layout, companions; with the model, some rows again.",
    "check": "Check how far scores can be trusted: mutagenesis, noise, shuffled weights.",
    "show": "Show what is in score files: options, quality, datasets, a region's letters.",
    "report": "Write a score file as one HTML page: quality, logos, a table of all regions.",
    "plot": "Draw the contributions of a region as a logo, with other tracks.",
    "inspect": "Inspect a model: can it be scored, by which rules, and at what cost?",
    "export": "Write a score file in other formats.",
    "browser": "Show bigWigs as letters in a genome browser page.",
    "seqlets": "Find spans of large contributions, and the known motifs that they match.",
}


class _Own(Mapping[str, click.Command]):
    """The program's own subcommands; the module of each is imported on access."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = importlib.import_module(f"deeplift_cli.commands.{name}").command
        return command

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


REGISTRY = Registry("deeplift.commands", "subcommand", click.Command, _Own)


class EndedEarlyError(Exception):
    """A subcommand ended with an exception that click would treat in another way; the cause is the exception.

    click treats EOFError as the user's wish to stop, and exits silently at a closed pipe. Here such errors
    may come from a model file and must be reported, and a model's own code may even raise SystemExit.
    """


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (EOFError, KeyboardInterrupt, OSError, SystemExit) as error:
            raise EndedEarlyError from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(REGISTRY.names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return REGISTRY.get(cmd_name) if cmd_name in REGISTRY.names() else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = {
            name: f"(of the package {package})" for name, package in REGISTRY.of_other_packages().items()
        }
        with formatter.section("Commands"):
            formatter.write_dl(list((others | COMMANDS).items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an unexpected error."
)
@click.version_option(package_name=DISTRIBUTION, prog_name="deeplift")
def cli() -> None:
    """DeepLIFT contribution scores for genomics sequence models."""
