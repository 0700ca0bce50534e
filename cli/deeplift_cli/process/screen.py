"""Output to the terminal: notes and a progress bar on stderr, the summary on stdout."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deeplift_cli.process.failures import silence_stdout
from deeplift_cli.process.progress import Progressed
from deeplift_cli.process.terminal_text import printable


class _Errors(Console):
    """A console on stderr; a job continues when the reader of stderr is gone (rich would end the process)."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Screen:
    """Notes, progress and summary of one run.

    Parameters
    ----------
    quiet : bool
        Print nothing but `problem`.
    verbose : bool
        Print details too.
    """

    def __init__(self, *, quiet: bool, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose and not quiet
        self._noted = set[str]()
        self._errors = _Errors(stderr=True, soft_wrap=True, highlight=False, emoji=False)

    def problem(self, line: str) -> None:
        """Print one line that says why the exit code is not 0."""
        self._errors.print(f"deeplift: {printable(line)}", markup=False)

    def note(self, line: str) -> None:
        """Print one line that the user should read, unless `quiet`; the folds of a model say the same."""
        if not self._quiet and line not in self._noted:
            self._noted.add(line)
            self.problem(line)

    def detail(self, line: str) -> None:
        """Print one line of detail, if `verbose`."""
        if self._verbose:
            self.note(line)

    def show(self, lines: Iterable[str]) -> None:
        """Print results to stdout; a closed pipe (`| head`) is no failure, since the files are written."""
        if self._quiet:
            return
        try:
            print(*lines, sep="\n", flush=True)
        except BrokenPipeError:
            silence_stdout()

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        """Show what the program is doing, and for how long, in a line that disappears; on a terminal only."""
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with self._bar(*columns, redirect=False) as line:
            line.add_task(printable(text), total=None)
            yield

    @contextmanager
    def progress(self, unit: str = "sequences", *, at_once: bool = True) -> Iterator[Progressed]:
        """Give a function that takes the number of finished records and the number of all records.

        The progress bar is shown on a terminal only.

        Parameters
        ----------
        at_once : bool, optional
            Show the bar before the first records are finished. The thread that draws the bar runs from then
            on, so that work which begins with a fork takes False.
        """
        columns = (
            BarColumn(),
            TextColumn(f"{{task.completed:,}} of {{task.fields[records]}} {unit}"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("to go"),
        )
        bar = self._bar(*columns)
        task = bar.add_task("", total=None, records="?")

        def update(done: int, total: int) -> None:
            bar.start()  # does nothing if the bar is shown already
            bar.update(task, completed=done, total=total, records=f"{total:,}")

        if at_once:
            bar.start()
        try:
            yield update
        finally:
            bar.stop()

    def _bar(self, *columns: ProgressColumn, redirect: bool = True) -> Progress:
        # The stream itself is asked, since rich treats FORCE_COLOR as a terminal.
        shown = sys.stderr is not None and sys.stderr.isatty() and not self._quiet
        return Progress(
            *columns,
            console=self._errors,
            disable=not shown,
            transient=True,
            redirect_stdout=redirect,
            redirect_stderr=redirect,
        )
