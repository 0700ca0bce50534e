"""A hidden folder beside an output: locked while in use, with small files that say how far a run has come."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.own_folder import COMPLETE, PUBLISHED
from deeplift_cli.outputs.state_files import parse_complete, read_state, write_state


class LockedFolder:
    """The base class of hidden folders.

    Parameters
    ----------
    out : Path
        The output.
    folder : Path

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, out: Path, folder: Path) -> None:
        self._out = out
        self.folder = folder

    def _lock_it(self, remedy: str) -> FolderLock:
        """Make the folder if there is none, and lock it.

        Raises
        ------
        UserError
            If another process uses the folder, the name belongs to something else, or the disc is full.
        """
        try:
            return FolderLock(self.folder)
        except LockedError as error:
            raise UserError(
                f"output {self._out} is being written by another run ({error}); {remedy}"
            ) from error
        except OSError as error:
            raise not_written(self._out, error) from error

    def mark_complete(self, outputs: Iterable[Path]) -> None:
        """Note that these outputs are being published, so that the next run may replace them.

        Raises
        ------
        UserError
            If the disc is full.
        """
        self._write(COMPLETE, json.dumps([os.fsdecode(path.absolute()) for path in outputs]))

    def mark_published(self) -> None:
        """Note that all outputs have their final names, so that the folder is no longer needed."""
        self._write(PUBLISHED, "")

    def _write(self, name: str, text: str) -> None:
        try:
            write_state(self.folder / name, text)
        except OSError as error:
            raise not_written(self._out, error) from error


def begun_in(folder: Path) -> set[Path]:
    """Return the outputs that a run had begun to publish from a folder when the run was killed."""
    try:
        return parse_complete(read_state(folder / COMPLETE))
    except (OSError, ValueError):
        return set()
