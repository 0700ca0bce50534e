"""The `deeplift` command, which returns an exit code to the shell, whatever happens.

The module imports almost nothing before `main` has installed the signal handlers, so that Ctrl-C always
works.
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
        The arguments without the program's name; by default those of this process.

    Returns
    -------
    int
        0: done. 1: a file, model, record or output cannot be used, or an unexpected error. 2: unusable
        options. 3: finished, but summation-to-delta is off by more than ``--max-completeness-error``. 129,
        130, 138 and 143: stopped by a signal.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings():
            # Warnings of libraries are for programmers; `python -W` still shows them.
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            from deeplift_cli.command_line import cli

            code = cli.main(args=words, prog_name="deeplift", standalone_mode=False)
    except (Exception, KeyboardInterrupt, SystemExit, signals.Stopped) as error:  # noqa: BLE001 - printed
        return _ended_early(error, words)
    return code if isinstance(code, int) else 0


def _ended_early(error: BaseException, words: list[str]) -> int:
    """Print why the command ended, and return its exit code."""
    # A signal counts even if a library replaced the exception of the signal.
    stopped = signals.received()
    if stopped is not None or isinstance(error, signals.Stopped):
        return _say_stopped(stopped or error)
    import click

    from deeplift_cli.command_line import EndedEarlyError
    from deeplift_cli.process import failures

    closed_pipe = isinstance(error, SystemExit)  # from click; a subcommand's is a cause
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


def _set_up() -> None:
    """Set what torch reads when torch is imported, and how names are printed."""
    # OpenMP reads this variable when torch is imported. By default torch's threads wait for each other in a
    # loop that keeps their core busy, even if the thread for which they wait has no core. On a machine with
    # other work, such loops made jobs several times as slow (docs/pipeline.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # oneDNN reads this variable when torch first computes. On processors with AMX its convolutions in
    # bfloat16 can be wrong (deeplift_core/capture/kernels.py).
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names can hold any bytes


def main() -> NoReturn:
    """Entry point of the console script."""
    try:
        signals.stop_on_signals()
        _set_up()
        code = run()
    except signals.Stopped as stopped:  # the signal came before `run`, or while `run` was about to return
        code = _say_stopped(stopped)
    if signals.received() is not None:
        # Objects of a C library that the signal interrupted are not destroyed: see `signals`.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # Python would flush again on exit, and print an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = code or 1
    sys.exit(code)
