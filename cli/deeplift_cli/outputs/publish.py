"""Outputs that appear whole or not at all."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from deeplift_cli.errors import UserError

_LONGEST_NAME = 200  # of the 255 bytes that a file system takes


def check_writable(paths: Iterable[Path], overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Check, before any work, that outputs can be written.

    Parameters
    ----------
    paths : iterable of Path
        Every file that the command will write.
    overwrite : bool
        Whether files that exist may be replaced.
    inputs : iterable of Path, optional
        Files that the command reads, none of which may be overwritten.

    Raises
    ------
    UserError
        When two outputs have one path, an output is also an input, its folder is missing or cannot be
        written, or it exists and `overwrite` is False (or it is not a regular file).
    """
    read = {_resolved(path) for path in inputs}
    taken = set[Path]()
    for path in paths:
        real = _resolved(path)
        if real in taken:
            raise UserError(f"two outputs would be written to {path}; give each a name of its own")
        if real in read:
            raise UserError(f"output {path} is also an input; give the output another name")
        taken.add(real)
        _check_folder(path)
        if path.exists() and not path.is_file():
            raise UserError(f"output {path} exists and is not a regular file; give another name")
        if path.exists() and not overwrite:
            raise UserError(f"output {path} exists; give --overwrite to replace it, or another name")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 say so of links that go round in a circle
        raise UserError(f"{path} cannot be used: {error}; give another name") from error


def short_name(name: str) -> str:
    """A name that leaves room for what is put around it, other for every name."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"{name[:20]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.exists():
        raise UserError(f"output folder {folder} does not exist (for {path.name}); make it first")
    if not folder.is_dir():
        raise UserError(f"output folder {folder} is not a folder (for {path.name})")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"output folder {folder} cannot be written (for {path.name}); check its permissions")


class Publication:
    """Temporary files that become the real ones together, when all are complete.

    A context manager: on a clean exit the files are renamed in the order in which they were asked for; on an
    exception, an interruption included, they are removed, and whatever stood at their places stays.

    Parameters
    ----------
    scratch : Path, optional
        The folder of the temporary files whose own folders are on the same disc; by default, those folders.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._files = list[tuple[Path, Path]]()

    def temporary(self, path: Path, suffix: str = ".part", scratch: Path | None = None) -> Path:
        """A new name to write to, which becomes `path`; some writers mind its suffix.

        It is in the folder `scratch`, or in the publication's own, if that is on the same disc.
        """
        folder, scratch = path.parent, scratch or self._scratch
        if scratch is not None and scratch.stat().st_dev == folder.stat().st_dev:
            folder = scratch
        temporary = folder / f".{short_name(path.name)}.{uuid4().hex[:8]}{suffix}"
        self.add(temporary, path)
        return temporary

    def add(self, temporary: Path, path: Path) -> None:
        """A file that exists, or will, and is to become `path`."""
        self._files.append((temporary, path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for temporary, _ in self._files:
                    to_disc(temporary)
                for temporary, path in self._files:
                    os.replace(temporary, path)
        finally:
            for temporary, _ in self._files:
                temporary.unlink(missing_ok=True)


def to_disc(path: Path) -> None:
    """Wait until the content is on the disc, so that a rename never outlives it in a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
