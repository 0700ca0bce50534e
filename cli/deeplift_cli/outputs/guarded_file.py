"""A file that hides write errors from HDF5, and the message about an output that could not be written."""

import os
from io import FileIO
from pathlib import Path
from typing import Any

from deeplift_cli.errors import UserError


class GuardedFile(FileIO):
    """A new file that keeps the first write error for `raise_error` instead of raising it.

    HDF5 (1.14 and 2.0 alike) crashes the process some time after a write failed, on a full disc or at a
    quota, because HDF5 then cannot close the file any more. This file hides the failure from HDF5. Code that
    writes through HDF5 calls `raise_error` after each step, and drops the file if there was an error.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self._error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write the whole content; after an error, write nothing."""
        view = memoryview(content).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size; keep an error for `raise_error`."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer; bytes that were not written because of an error are zeros."""
        view = memoryview(buffer).cast("B")
        done = super().readinto(view) or 0
        view[done:] = bytes(len(view) - done)
        return len(view)

    def raise_error(self) -> None:
        """Raise the error that was kept, if any.

        Raises
        ------
        OSError
            The first write error.
        """
        if self._error is not None:
            raise self._error


def not_written(path: Path, error: OSError) -> UserError:
    """Return the error for an output that could not be written; the file that failed may be another one."""
    reason = os.strerror(error.errno) if error.errno else error  # h5py's own text runs over several lines
    failed = error.filename if error.filename2 is None else error.filename2
    place = "" if failed in (None, str(path), os.fspath(path.absolute())) else f" ({os.fsdecode(failed)})"
    return UserError(f"output {path} cannot be written: {reason}{place}")
