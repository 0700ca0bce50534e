"""Publication of outputs: complete files get their final names, or no file appears."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from deeplift_cli.errors import UserError

_LONGEST_NAME = 200  # bytes; file systems accept 255, and the program adds prefixes and suffixes
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def check_writable(
    paths: Iterable[Path],
    overwrite: bool,
    inputs: Iterable[Path] = (),
    beside: Mapping[Path, Path] | None = None,
) -> None:
    """Check, before any work, that outputs can be written.

    Parameters
    ----------
    paths : iterable of Path
        Every file that the command will write.
    overwrite : bool
        True if files that exist may be replaced.
    inputs : iterable of Path, optional
        Files that the command reads, none of which may be overwritten.
    beside : mapping of Path to Path, optional
        Outputs that the user has not named, and the named output beside which each is written, which messages
        name, too.

    Raises
    ------
    UserError
        If two outputs have one path, an output is also an input, its folder is missing or cannot be written,
        or the output exists and `overwrite` is False (or the output is not a regular file).
    """
    read = {_resolved(path) for path in inputs}
    taken = set[Path]()
    for path in paths:
        named = (beside or {}).get(path)
        output = f"output {path}" if named is None else f"output {path}, which is written beside {named},"
        other = "the output another name" if named is None else f"{named.name} another name"
        real = _resolved(path)
        if real in taken:
            raise UserError(f"two outputs would be written to {path}; give each a name of its own")
        if real in read:
            raise UserError(f"{output} is also an input; give {other}")
        taken.add(real)
        _check_folder(path)
        if path.exists() and not path.is_file():
            raise UserError(f"output {path} exists and is not a regular file; give another name")
        if path.exists() and not overwrite:
            raise UserError(f"{output} exists; give --overwrite to replace it, or give {other}")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 raise this error at links that form a circle
        raise UserError(f"{path} cannot be used: {error}; give another name") from error


def short_name(name: str) -> str:
    """Return a name that leaves room for prefixes and suffixes, and differs for every given name."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"{name[:20]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def plain_name(text: str) -> str:
    """Return a text as part of a file's name, of letters that need no quotes in a shell or a URL.

    The name is "" if the text has no such letters.
    """
    return short_name(_NOT_PLAIN.sub("_", text).lstrip("._-"))


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.exists():
        raise UserError(f"output folder {folder} does not exist (for {path.name}); make it first")
    if not folder.is_dir():
        raise UserError(f"output folder {folder} is not a folder (for {path.name})")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"output folder {folder} cannot be written (for {path.name}); check its permissions")


class Publication:
    """Temporary files that get their final names together, when all are complete.

    A context manager: on a clean exit the files are renamed in the order in which they were requested. On an
    exception, an interruption included, the temporary files are removed, and the outputs of an earlier run
    stay.

    Parameters
    ----------
    scratch : Path, optional
        The folder of the temporary files whose own folders are on the same disc; by default, those folders.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._files = list[tuple[Path, Path]]()

    def temporary(self, path: Path, suffix: str = ".part", scratch: Path | None = None) -> Path:
        """Return a new temporary path for a file that becomes `path`; some writers need a certain suffix.

        The temporary file is in the folder `scratch`, or in the publication's folder, if that folder is on
        the same disc.
        """
        folder, scratch = path.parent, scratch or self._scratch
        if scratch is not None and scratch.stat().st_dev == folder.stat().st_dev:
            folder = scratch
        temporary = folder / f".{short_name(path.name)}.{uuid4().hex[:8]}{suffix}"
        self.add(temporary, path)
        return temporary

    def add(self, temporary: Path, path: Path) -> None:
        """Add a temporary file, which exists or will exist, and becomes `path`."""
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
    """Wait until the content is on the disc, so that a power cut after a rename leaves no empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
