"""The hidden folder beside an output where what is unfinished lies, and what a killed run leaves there."""

import json
import os
import re
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.publish import short_name, to_disc
from deeplift_cli.outputs.score_file import not_written

_BEGUN, _PUBLISHED = "complete", "published"
# Only these are removed: names that `Publication` makes, and those of this module and its users.
_OWN = re.compile(r"lock|(complete|published)(\.part)?|skipped\.tsv|\..*\.[0-9a-f]{8}\.part(\.bw)?")


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
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise UserError(
                f"{self.folder}, where unfinished outputs go, is not a folder; remove it or give another name"
            )
        try:
            self._lock = FolderLock(self.folder)
        except LockedError as error:
            raise UserError(
                f"output {self._out} is being written by another run ({error}); wait for it"
            ) from error
        except OSError as error:
            raise not_written(self._out, error) from error
        try:
            self.begun = self._begun()
            self._clear()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begun(self) -> set[Path]:
        if (self.folder / _PUBLISHED).exists():
            return set()
        try:
            found = json.loads((self.folder / _BEGUN).read_text())
        except (OSError, ValueError):
            return set()
        names = found if isinstance(found, list) else []
        return {Path(name) for name in names if isinstance(name, str)}

    def mark_complete(self, outputs: Iterable[Path]) -> None:
        """From now on these outputs appear.

        Raises
        ------
        UserError
            If the disc is full.
        """
        self._write(_BEGUN, json.dumps([os.fsdecode(path.absolute()) for path in outputs]))

    def mark_published(self) -> None:
        """All outputs are where they belong."""
        self._write(_PUBLISHED, "")

    def _write(self, name: str, text: str) -> None:
        temporary = self.folder / f"{name}.part"
        try:
            temporary.write_text(text)
            to_disc(temporary)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            raise not_written(self._out, error) from error

    def _clear(self, keep: Container[str] = ("lock",)) -> None:
        for entry in os.scandir(self.folder):
            is_own = _OWN.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False)
            if is_own and entry.name not in keep:
                os.unlink(entry.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            # What says that outputs have begun or are there goes last, the lock after it.
            self._clear(keep=("lock", _BEGUN, _PUBLISHED))
            self._clear()
            (self.folder / "lock").unlink()
            self.folder.rmdir()
        self._lock.release()
