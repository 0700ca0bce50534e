"""The `deeplift` command: finds the subcommand and turns errors into one line and an exit code."""

import importlib
import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

import click

from deeplift_cli import stopping
from deeplift_cli.errors import UserError

# One file per subcommand, imported when it is called: `deeplift --help` must be quick.
COMMANDS = {
    "score": "Score sequences: which bases made the model say this?",
    "merge": "Put the shards of a job together, or average the folds of a cross-validation.",
    "verify": "Verify score files: checksums, layout, companions; with the model, some rows again.",
    "inspect": "Inspect a model: can it be scored, by which rules, and at what cost?",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"deeplift_cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deeplift", prog_name="deeplift")
def cli() -> None:
    """DeepLIFT contribution scores for genomics sequence models."""


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Without the program's name; those of this process by default.

    Returns
    -------
    int
        0 done; 1 a file, model, record or output that cannot be used; 2 unusable options; 3 finished, but
        beyond ``--max-completeness-error``; 130, 138 and 143 stopped by a signal.
    """
    try:
        with warnings.catch_warnings():
            # Libraries' warnings are for those who write programs; `python -W` still shows them.
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            code = cli.main(args=arguments, prog_name="deeplift", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except stopping.Stopped as stopped:
        return _say_stopped(stopped)
    except (click.Abort, KeyboardInterrupt):
        click.echo("deeplift: interrupted", err=True)
        return 130
    except (UserError, OSError, MemoryError) as error:
        stopped_before = stopping.received()
        if stopped_before is not None:
            return _say_stopped(stopped_before)
        click.echo(f"deeplift: {_one_line(error)}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _say_stopped(stopped: stopping.Stopped) -> int:
    click.echo(f"deeplift: stopped by {stopped}", err=True)
    return stopped.exit_code


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); give a smaller --batch-size or fewer --n-references"
    if isinstance(error, OSError) and error.errno is not None:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{os.strerror(error.errno)}"
    head, *rest = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return " ".join([head, "; ".join(filter(None, rest))]).strip()


def main() -> NoReturn:
    """Entry point of the console script."""
    stopping.stop_on_signals()
    # Read when torch is imported. By default torch's threads wait for each other in a loop that keeps their
    # core busy, also where the one that they wait for has no core because another thread has it. On a machine
    # with other work that made jobs several times as slow (docs/pipeline.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files can be any bytes
    code = run()
    if stopping.received() is not None:
        # As in `stopping`: what the signal cut short inside a C library is left as it is.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
