"""The hidden folder beside an output where a run keeps what it has finished, for the next one to go on."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deeplift_cli.errors import FutileError, UserError
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.publish import to_disc
from deeplift_cli.outputs.score_file import not_written

_KEPT = ("job.json", "complete", "lock")


class Workspace:
    """A run's folder ``.NAME.pieces`` beside the output NAME; a context manager.

    It is locked while it is used. On an exception it stays if it holds a finished batch that can be of use,
    and is removed otherwise; on a clean exit it is removed.

    Parameters
    ----------
    out : Path
        The output.
    job : mapping of str to anything that JSON can hold
        What must be equal for the finished batches to be of this run.
    resume : bool
        Whether to go on from what is there; otherwise it is removed.
    note : callable
        Gets lines that the user should read.

    Attributes
    ----------
    folder : Path
    pieces : Pieces
        Finished batches.
    decisions : dict
        What an earlier run decided by itself, as it was given to `decide`; empty where there was none.

    Raises
    ------
    UserError
        On entry: if another process is at it, or what is there belongs to another job.
    """

    def __init__(
        self, out: Path, job: Mapping[str, Any], *, resume: bool, note: Callable[[str], None]
    ) -> None:
        self.folder = workspace_folder(out)
        self._out = out
        self._job = json.loads(json.dumps(job))  # as it is read again
        self._resume = resume
        self._note = note

    def __enter__(self) -> Self:
        try:
            self._lock = FolderLock(self.folder)
        except LockedError as error:
            raise UserError(
                f"output {self._out} is being written by another run ({error}); "
                "wait for it, or give another name"
            ) from error
        except OSError as error:
            raise not_written(self._out, error) from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        if not self._lock.works:
            self._note(f"{self.folder.parent} has no file locks: do not run the same command twice at a time")
        return self

    def _open(self) -> None:
        earlier = self._earlier()
        if earlier is None:
            self._clear()
        elif differences := _differences(earlier["job"], self._job):
            raise UserError(
                f"{self.folder} holds finished batches of another job: {'; '.join(differences)}. "
                "Give what was given then to go on, --no-resume to start over, or another output"
            )
        self.pieces = Pieces(self.folder)
        self.decisions: dict[str, Any] = earlier["decisions"] if earlier else {}
        self._remove_unfinished()
        if earlier is None:
            self.decide({})

    def _earlier(self) -> dict[str, Any] | None:
        """What an earlier run wrote, if there is one to go on from."""
        if not self._resume:
            return None
        try:
            found: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def decide(self, decisions: Mapping[str, Any]) -> None:
        """Write down what this run decided by itself, so that one that goes on decides the same."""
        self.decisions = dict(decisions)
        self._write("job.json", json.dumps({"job": self._job, "decisions": self.decisions}, indent=1))

    def mark_complete(self) -> None:
        """From now on outputs appear, which a run that goes on may replace: they are its own."""
        self._write("complete", "")

    @property
    def skipped(self) -> Path:
        """Where the table of what was skipped is made."""
        return self.folder / "skipped.tsv"

    def _write(self, name: str, text: str) -> None:
        temporary = self.folder / f"{name}.part"
        try:
            temporary.write_text(text)
            to_disc(temporary)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            raise not_written(self._out, error) from error

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                entry.unlink()

    def _remove_unfinished(self) -> None:
        """What a killed run was writing."""
        for entry in self.folder.iterdir():
            if entry.name not in _KEPT and entry.suffix != ".npz":
                entry.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Removed before it is let go: whoever comes next makes a folder of its own.
        if kind is None or issubclass(kind, FutileError) or not self.pieces.numbers:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()


def workspace_folder(out: Path) -> Path:
    """Where the workspace of an output is."""
    return out.with_name(f".{out.name[:200]}.pieces")


def is_complete(out: Path) -> bool:
    """Whether a run was killed after it had begun to publish this output."""
    return (workspace_folder(out) / "complete").exists()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, by name."""
    return [
        _difference(name, before.get(name), now.get(name))
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def _difference(name: str, before: Any, now: Any) -> str:
    if all(isinstance(value, str) and value.startswith("sha256:") for value in (before, now)):
        return f"{name} has changed"
    return f"{name} was {_word(before)}, now {_word(now)}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or str(value).startswith("sha256:"):
        return "not given" if value is None else "given"
    return value if isinstance(value, str) else json.dumps(value)
