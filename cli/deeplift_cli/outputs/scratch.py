"""The hidden folder beside an output where what is unfinished lies, and what a killed run leaves there."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import own_folder
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.own_folder import COMPLETE, LOCK, PUBLISHED
from deeplift_cli.outputs.publish import short_name
from deeplift_cli.outputs.score_file import not_written
from deeplift_cli.outputs.state_files import parse_complete, read_state, write_state


class Scratch:
    """The folder ``.NAME.SUFFIX`` beside an output NAME; a context manager.

    It is locked while it is used. On entry what a killed run left in it is removed, and in the end the folder
    goes; files that are not of this program stay, and the folder with them.

    Parameters
    ----------
    out : Path
        The output.
    suffix : str
        The subcommand's own.

    Attributes
    ----------
    folder : Path
    begun : set of Path
        Outputs, as absolute paths, that a run which was killed while it published them had begun. They are
        its own, and may be replaced.

    Raises
    ------
    UserError
        On entry: if another process is at it, or something else has the folder's name.
    """

    def __init__(self, out: Path, suffix: str) -> None:
        self._out = out
        self.folder = out.with_name(f".{short_name(out.name)}.{suffix}")
        self.begun = set[Path]()

    def __enter__(self) -> Self:
        try:
            self._lock = FolderLock(self.folder)
        except LockedError as error:
            raise UserError(
                f"output {self._out} is being written by another run ({error}); wait for it"
            ) from error
        except OSError as error:
            raise not_written(self._out, error) from error
        try:
            own_folder.require_files(self.folder)
            self.begun = self._begun()
            own_folder.remove_files(self.folder, lambda name: name != LOCK)
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begun(self) -> set[Path]:
        if (self.folder / PUBLISHED).exists():
            return set()
        try:
            return parse_complete(read_state(self.folder / COMPLETE))
        except (OSError, ValueError):
            return set()

    def mark_complete(self, outputs: Iterable[Path]) -> None:
        """From now on these outputs appear.

        Raises
        ------
        UserError
            If the disc is full.
        """
        self._write(COMPLETE, json.dumps([os.fsdecode(path.absolute()) for path in outputs]))

    def mark_published(self) -> None:
        """All outputs are where they belong."""
        self._write(PUBLISHED, "")

    def _write(self, name: str, text: str) -> None:
        try:
            write_state(self.folder / name, text)
        except OSError as error:
            raise not_written(self._out, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own_folder.remove(self.folder)
        self._lock.release()
