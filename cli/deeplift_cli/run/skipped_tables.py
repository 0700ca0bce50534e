"""The tables of records without scores: those that the reader cannot use, and those without finite scores.

The reader prepares batches before the model scores them. A record that cannot be read may therefore be
skipped before an earlier record turns out to have no finite scores. Each kind has a table of its own, in
the order of the records, and the table beside the score file is made by merging the two.
"""

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.skipped import HEADING, SkippedFile
from deeplift_cli.sequences import Skipped


class SkippedTables:
    """The records that one run skips; a context manager.

    Parameters
    ----------
    out : Path
        The score file, which messages name.
    unusable, unscored : Path
        The paths of the two tables.
    shown : int
        How many of the first skipped records stay in memory.

    Raises
    ------
    UserError
        Every method raises this error if a table cannot be written.
    """

    def __init__(self, out: Path, unusable: Path, unscored: Path, shown: int) -> None:
        self._out = out
        self._unusable = _Table(unusable, shown)
        self._unscored = _Table(unscored, shown)
        self._shown = shown
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._written(), ExitStack() as stack:
            for table in (self._unusable, self._unscored):
                table.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._written():
            self._stack.__exit__(kind, error, trace)

    def add_unusable(self, record: Skipped) -> None:
        """Add a record that cannot be scored."""
        with self._written():
            self._unusable.add(record)

    def add_unscored(self, record: Skipped) -> None:
        """Add a record whose scores are not finite."""
        with self._written():
            self._unscored.add(record)

    @property
    def count(self) -> int:
        """The number of skipped records so far."""
        return self._unusable.count + self._unscored.count

    @property
    def unscored(self) -> int:
        """The number of skipped records whose scores are not finite."""
        return self._unscored.count

    @property
    def first(self) -> list[Skipped]:
        """The first skipped records, in the order of the input."""
        both = [*self._unusable.first, *self._unscored.first]
        return sorted(both, key=lambda record: record.index)[: self._shown]

    def close(self) -> None:
        """Close both tables; no record can be added any more."""
        with self._written():
            self._stack.close()

    def merge_into(self, path: Path) -> None:
        """Merge the two closed tables into one."""
        with self._written():
            path.unlink(missing_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(HEADING)
                file.writelines(heapq.merge(self._unusable.lines(), self._unscored.lines(), key=_index))

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_written(self._out, error) from error


class _Table:
    """One table, its number of records, and the first of them."""

    def __init__(self, path: Path, shown: int) -> None:
        self._path = path
        self._shown = shown
        self.count = 0
        self.first = list[Skipped]()

    def open(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(SkippedFile(self._path))

    def add(self, record: Skipped) -> None:
        self._file.append(record)
        self.count += 1
        if len(self.first) < self._shown:
            self.first.append(record)

    def lines(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8", newline="\n") as file:
            next(file)
            yield from file


def _index(line: str) -> int:
    return int(line.partition("\t")[0])
