"""The life of an HDF5 file that is written batch by batch: it appears whole, or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import Column, compressing_threads
from deeplift_cli.outputs.guarded_file import GuardedFile, not_written


class GrowingFile(ABC):
    """An HDF5 file whose datasets grow batch by batch; a context manager.

    A subclass says in `_begin` what to prepare before the file is made, and in `_create` which datasets the
    file has. On a clean exit all rows are written, and a write error that HDF5 did not see is raised.

    Parameters
    ----------
    path : Path
        The final name, for messages.

    Raises
    ------
    UserError
        If the disc is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()

    @abstractmethod
    def _begin(self, stack: ExitStack) -> Path:
        """Return the temporary file to write, and enter what must be closed after that file."""

    @abstractmethod
    def _create(self, file: h5py.File, pool: Executor) -> Sequence[Column]:
        """Write the attributes, and return all columns, whose last rows are written on a clean exit.

        Parameters
        ----------
        file : h5py.File
            The new file, without any content.
        pool : Executor
            The threads that compress chunks.
        """

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = self._begin(stack)
            self._guarded = stack.enter_context(GuardedFile(temporary))
            stack.push(self._check)
            file = stack.enter_context(h5py.File(self._guarded, "w"))
            pool = stack.enter_context(compressing_threads())
            self._columns = self._create(file, pool)
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise self._not_written(failure) from failure

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rows that fill no chunk yet; called on exit."""
        if kind is None:
            for column in self._columns:
                column.finish()
            self._raise_error()

    def _check(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise an error if HDF5 could not write the whole file; called after HDF5 has closed the file."""
        if kind is None:
            self._guarded.raise_error()

    def _raise_error(self) -> None:
        """Raise an error if a write has failed so far."""
        try:
            self._guarded.raise_error()
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> UserError:
        """Return the error for a file that could not be written."""
        return not_written(self.path, error)
