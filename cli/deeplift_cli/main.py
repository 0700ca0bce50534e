"""The `deeplift` command: what it returns to the shell, whatever happens.

Until `main` has seen to signals, this imports next to nothing, so that Ctrl-C finds it ready.
"""

import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

from deeplift_cli.process import signals


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Without the program's name; those of this process by default.

    Returns
    -------
    int
        0 done; 1 a file, model, record or output that cannot be used, and anything unexpected; 2 unusable
        options; 3 finished, but beyond ``--max-completeness-error``; 129, 130, 138 and 143 stopped by a
        signal.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings():
            # Libraries' warnings are for those who write programs; `python -W` still shows them.
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            from deeplift_cli.command_line import cli

            code = cli.main(args=words, prog_name="deeplift", standalone_mode=False)
    except (Exception, KeyboardInterrupt, SystemExit, signals.Stopped) as error:  # noqa: BLE001 - told by line
        return _ended_early(error, words)
    return code if isinstance(code, int) else 0


def _ended_early(error: BaseException, words: list[str]) -> int:
    """Say why the command ended, and return its exit code."""
    # A signal counts whatever a library made of the exception that it raised.
    stopped = signals.received()
    if stopped is not None or isinstance(error, signals.Stopped):
        return _say_stopped(stopped or error)
    import click

    from deeplift_cli.command_line import EndedEarlyError
    from deeplift_cli.process import failures

    closed_pipe = isinstance(error, SystemExit)  # click's own; a subcommand's is a cause
    if isinstance(error, EndedEarlyError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("deeplift: interrupted", err=True)
        return 130
    if isinstance(error, BrokenPipeError) or closed_pipe:
        failures.silence_stdout()
        return 0
    if any(word in ("-v", "--verbose") for word in words):
        failures.show_traceback(error)
    click.echo(f"deeplift: {failures.line_of(error)}", err=True)
    return 1


def _say_stopped(stopped: BaseException) -> int:
    print(f"deeplift: stopped by {stopped}", file=sys.stderr)
    return stopped.exit_code if isinstance(stopped, signals.Stopped) else 130


def main() -> NoReturn:
    """Entry point of the console script."""
    signals.stop_on_signals()
    # Read when torch is imported. By default torch's threads wait for each other in a loop that keeps their
    # core busy, also where the one that they wait for has no core because another thread has it. On a machine
    # with other work that made jobs several times as slow (docs/pipeline.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Read when torch first computes. On processors with AMX its convolutions in bfloat16 can be wrong
    # (deeplift_core/capture/kernels.py).
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files can be any bytes
    try:
        code = run()
    except signals.Stopped as stopped:  # it came while `run` was about to return
        code = _say_stopped(stopped)
    if signals.received() is not None:
        # As in `stopping`: what the signal cut short inside a C library is left as it is.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # Python would try once more, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = code or 1
    sys.exit(code)
