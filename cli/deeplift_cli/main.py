"""The `deeplift` command: finds the subcommand and turns errors into one line and an exit code."""

import importlib
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from deeplift_cli.errors import UserError

# One file per subcommand, imported when it is called: `deeplift --help` must be quick.
COMMANDS = {"score": "Score sequences: which bases made the model say this?"}


class Terminated(BaseException):
    """SIGTERM, so that everything unfinished is cleaned up on the way out."""


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
        beyond ``--max-completeness-error``; 130 and 143 stopped by a signal.
    """
    try:
        code = cli.main(args=arguments, prog_name="deeplift", standalone_mode=False)
    except UserError as error:
        click.echo(f"deeplift: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("deeplift: interrupted; nothing was written", err=True)
        return 130
    except Terminated:
        click.echo("deeplift: terminated; nothing was written", err=True)
        return 143
    return code if isinstance(code, int) else 0


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def main() -> NoReturn:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run())
