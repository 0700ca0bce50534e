"""What the user sees: notes and a progress bar on stderr, the summary on stdout."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deeplift_cli.summary import Summary


class Screen:
    """Notes, progress and summary of one run.

    Parameters
    ----------
    quiet : bool
        Print nothing.
    verbose : bool
        Print details too.
    """

    def __init__(self, *, quiet: bool, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose and not quiet
        self._errors = Console(stderr=True, soft_wrap=True, highlight=False)
        self._output = Console(soft_wrap=True, highlight=False)

    def note(self, line: str) -> None:
        """One line that the user should read."""
        if not self._quiet:
            self._errors.print(f"deeplift: {line}", markup=False)

    def detail(self, line: str) -> None:
        """One line for those who asked for more."""
        if self._verbose:
            self.note(line)

    @contextmanager
    def progress(self) -> Iterator[Callable[[int], None]]:
        """A function to call with the number of sequences scored so far; a bar on a terminal only."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,} sequences scored"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
        )
        shown = sys.stderr.isatty() and not self._quiet
        with Progress(*columns, console=self._errors, disable=not shown, transient=True) as bar:
            task = bar.add_task("", total=None, rate="")

            def update(done: int) -> None:
                seconds = bar.tasks[task].elapsed or 0
                bar.update(task, completed=done, rate=f"{done / seconds:,.1f} per second" if seconds else "")

            yield update

    def finish(self, summary: Summary, written: list[Path]) -> None:
        """The summary, and a warning where summation-to-delta was missed."""
        if not self._quiet:
            summary.show(self._output, written)
        missed = 0 if summary.exempt else sum(part.beyond for part in summary.completeness.values())
        if missed:
            self.note(
                f"warning: summation-to-delta is off by more than the tolerance in {missed:,} of "
                f"{summary.scored:,} sequences; see qc/completeness_error"
            )
