"""The hidden folder beside an output where a run keeps what it has finished, for the next one to go on."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deeplift_cli.errors import FutileError, UserError
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.publish import short_name, to_disc
from deeplift_cli.outputs.score_file import not_written

_KEPT = ("job.json", "complete", "published", "lock")
_ANOTHER = "holds finished batches of another job"
_WAY_OUT = "Give what was given then to go on, --no-resume to start over, or another output"


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
            raise UserError(f"{self.folder} {_ANOTHER}: {'; '.join(differences)}. {_WAY_OUT}")
        self._known: dict[str, str] = earlier.get("late", {}) if earlier else {}
        self._late = dict(self._known)
        self.pieces = Pieces(self.folder)
        self.decisions: dict[str, Any] = earlier["decisions"] if earlier else {}
        self._remove_unfinished()
        if earlier is None:
            self.decide({})

    def _earlier(self) -> dict[str, Any] | None:
        """What an earlier run wrote, if there is one to go on from."""
        if not self._resume:
            return None
        path = self.folder / "job.json"
        try:
            found = json.loads(path.read_text())
            if isinstance(found["job"], dict) and isinstance(found["decisions"], dict):
                return dict(found)
        except FileNotFoundError:
            if not Pieces(self.folder).numbers:
                return None
        except (ValueError, KeyError, TypeError):
            pass
        raise UserError(
            f"{path}, which says what the finished batches beside it are of, is missing or damaged; "
            "--no-resume starts over"
        )

    def decide(self, decisions: Mapping[str, Any]) -> None:
        """Write down what this run decided by itself, so that one that goes on decides the same."""
        self.decisions = dict(decisions)
        found = {"job": self._job, "decisions": self.decisions, "late": self._late}
        self._write("job.json", json.dumps(found, indent=1))

    def confirm(self, name: str, value: str) -> None:
        """Add to the job what is found out late, or compare it with what an earlier run found.

        Raises
        ------
        UserError
            If it differs.
        """
        known = self._known.get(name)
        if known not in (None, value):
            raise UserError(f"{self.folder} {_ANOTHER}: {_difference(name, known, value)}. {_WAY_OUT}")
        self._late[name] = value
        self.decide(self.decisions)

    def mark_complete(self, outputs: Iterable[Path]) -> None:
        """From now on these outputs appear, which a run that goes on may replace: they are its own."""
        self._write("complete", json.dumps([os.fsdecode(path.absolute()) for path in outputs]))

    def mark_published(self) -> None:
        """Everything is where it belongs, for other targets, too: the workspaces can go."""
        self._write("published", "")

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
            _remove(self.folder)
        self._lock.release()


def workspace_folder(out: Path) -> Path:
    """Where the workspace of an output is."""
    return out.with_name(f".{short_name(out.name)}.pieces")


def begun_outputs(out: Path) -> set[Path]:
    """What a run that was killed while it published this output had begun, and may be replaced."""
    try:
        return {Path(name) for name in json.loads((workspace_folder(out) / "complete").read_text())}
    except (OSError, ValueError):
        return set()


def clean_up(outs: Sequence[Path]) -> None:
    """Remove what a run left that was killed when it had published everything."""
    folders = [workspace_folder(out) for out in outs]
    if any((folder / "published").exists() for folder in folders):
        for folder in folders:
            _remove(folder)
    for folder in folders:
        if _gone(folder).exists():
            shutil.rmtree(_gone(folder), ignore_errors=True)


def _remove(folder: Path) -> None:
    """At once for others, whenever this is cut short."""
    with suppress(FileNotFoundError):
        os.replace(folder, _gone(folder))
    shutil.rmtree(_gone(folder), ignore_errors=True)


def _gone(folder: Path) -> Path:
    return folder.with_suffix(".gone")


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
