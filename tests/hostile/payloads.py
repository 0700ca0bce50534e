"""Code that a hostile file would run: it makes a file, so that the test can tell."""

import pickle
from pathlib import Path
from typing import Any

from hostile.running import payload_of


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._path, "w"))


class Evaluate:
    """Unpickling it makes a file by `eval`."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, (expression(Path(self._path)),))


class Execute:
    """Unpickling it makes a file by `exec`, of which nothing is left."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({self._path!r}, 'w').close()",))


class Command:
    """Unpickling it makes a file by the shell."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        from subprocess import getoutput

        return (getoutput, (f"touch '{self._path}'",))


def expression(path: Path) -> str:
    """A Python expression that makes a file."""
    return f"__import__('pathlib').Path({str(path)!r}).touch()"


def touch(folder: Path) -> Touch:
    """For a file in the folder of a case."""
    return Touch(payload_of(folder))


def hostile_pickle(folder: Path, protocol: int = 2) -> bytes:
    """A bare pickle that makes the file."""
    return pickle.dumps(touch(folder), protocol=protocol)
