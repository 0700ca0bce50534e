"""The hidden folder beside an output with the finished batches of a run, from which the next run resumes."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import own_folder
from deeplift_cli.outputs.locked_folder import LockedFolder, begun_in
from deeplift_cli.outputs.own_folder import COMPLETE, JOB, LOCK, PUBLISHED, SKIPPED, UNSCORED, UNUSABLE
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.publish import short_name
from deeplift_cli.outputs.state_files import JobState, parse_complete, parse_job, read_state

_ANOTHER = "holds finished batches of another job"
_WAY_OUT = "Give the earlier model, input and options to resume, --no-resume to start over, or another output"


class Workspace(LockedFolder):
    """A run's folder ``.NAME.pieces`` beside the output NAME; a context manager.

    The folder is locked while it is used. On an exception, the folder stays if it holds a finished batch, and
    is removed otherwise. On a clean exit, the folder is removed. A folder with files of other programs stays,
    and these files with it.

    Parameters
    ----------
    out : Path
        The output.
    job : mapping of str to anything that JSON can hold
        The fingerprint of the job; a run resumes only from batches with an equal fingerprint.
    resume : bool
        True to resume from the finished batches in the folder; false to remove these batches.
    note : callable
        Called with lines that the user should read.

    Attributes
    ----------
    folder : Path
    pieces : Pieces
        Finished batches.
    decisions : dict
        The choices of an earlier run (see `keep_decisions`); empty if there was no earlier run.

    Raises
    ------
    UserError
        On entry: if another process uses the folder, a symbolic link has the folder's name, or the folder
        belongs to another job.
    """

    def __init__(
        self, out: Path, job: Mapping[str, Any], *, resume: bool, note: Callable[[str], None]
    ) -> None:
        super().__init__(out, workspace_folder(out))
        self._job = json.loads(json.dumps(job))  # in the types that JSON gives when it is read
        self._resume = resume
        self._note = note

    def __enter__(self) -> Self:
        self._lock = self._lock_it("wait for it, or give another name")
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        if not self._lock.works:
            self._note(f"{self.folder.parent} has no file locks: do not run the same command twice at a time")
        return self

    def _open(self) -> None:
        own_folder.require_files(self.folder)
        earlier = self._earlier() if self._resume else None
        if earlier is not None and (differences := _differences(earlier.job, self._job)):
            raise UserError(f"{self.folder} {_ANOTHER}: {'; '.join(differences)}. {_WAY_OUT}")
        if self._resume:
            self._check_complete()
            own_folder.remove_files(self.folder, _is_unfinished)
        else:
            own_folder.remove_files(self.folder, lambda name: name != LOCK)
        self.pieces = Pieces(self.folder)
        self._known: Mapping[str, str] = earlier.additions if earlier else {}
        self._state = JobState(self._job, dict(earlier.decisions) if earlier else {}, dict(self._known))
        if earlier is None:
            self._save_state()

    def _earlier(self) -> JobState | None:
        """Return the state that an earlier run wrote, or None.

        Each batch also names its job. If the state cannot be read, this run therefore writes the state anew,
        keeps the batches of its own job, and scores the others again.
        """
        path = self.folder / JOB
        try:
            return parse_job(read_state(path))
        except FileNotFoundError:
            if not Pieces(self.folder).numbers:
                return None
            problem = "it is missing"
        except (ValueError, OSError) as error:
            problem = str(error)
        self._note(
            f"{path}, which says of which job the finished batches are, cannot be used "
            f"({problem}) and is written anew: batches of this job are kept, others are scored again"
        )
        with suppress(FileNotFoundError):
            path.unlink()
        return None

    def _check_complete(self) -> None:
        """Drop a damaged list of the outputs that an earlier run had begun to publish."""
        path = self.folder / COMPLETE
        try:
            parse_complete(read_state(path))
        except FileNotFoundError:
            return
        except (ValueError, OSError) as error:
            self._note(f"{path}, the list of outputs that an earlier run had begun, is dropped ({error})")
            with suppress(FileNotFoundError):
                path.unlink()

    @property
    def decisions(self) -> Mapping[str, Any]:
        """The choices of an earlier run or of this run (see `keep_decisions`); empty before the choices."""
        return self._state.decisions

    @property
    def job_digest(self) -> str:
        """The digest that this job's finished batches hold; it does not change after scoring has begun."""
        return self._state.digest

    def keep_decisions(self, **decisions: Any) -> None:
        """Save the choices that this run made by itself; a run that resumes makes the same choices."""
        self._state = replace(self._state, decisions=decisions)
        self._save_state()

    def add_to_job(self, name: str, value: str) -> None:
        """Add to the job's fingerprint a value that becomes known after the folder is opened.

        Raises
        ------
        UserError
            If an earlier run in this folder added another value.
        """
        known = self._known.get(name)
        if known not in (None, value):
            raise UserError(f"{self.folder} {_ANOTHER}: {_difference(name, known, value)}. {_WAY_OUT}")
        self._state = replace(self._state, additions={**self._state.additions, name: value})
        self._save_state()

    def _save_state(self) -> None:
        self._write(JOB, self._state.to_json())

    @property
    def skipped(self) -> Path:
        """The path of the table of skipped records."""
        return self.folder / SKIPPED

    @property
    def unusable(self) -> Path:
        """The path of the table of records that cannot be scored, in the order of reading."""
        return self.folder / UNUSABLE

    @property
    def unscored(self) -> Path:
        """The path of the table of records whose scores are not finite, in the order of scoring."""
        return self.folder / UNSCORED

    def kept(self) -> int:
        """Return the number of finished batches in the folder; 0 if the folder cannot be read."""
        try:
            return len(Pieces(self.folder).numbers)
        except FileNotFoundError:
            return 0
        except OSError:
            return len(self.pieces.numbers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The folder is removed before the lock is freed, so that the next run makes a new folder.
        if kind is None or not self.kept():
            _remove(self.folder)
        self._lock.release()


def workspace_folder(out: Path) -> Path:
    """Return the folder of an output's workspace."""
    return out.with_name(f".{short_name(out.name)}.pieces")


def begun_outputs(out: Path) -> set[Path]:
    """Return the outputs that a killed run had begun to publish, and that may be replaced."""
    return begun_in(workspace_folder(out))


def clean_up(outs: Sequence[Path]) -> None:
    """Remove the workspaces of a run that was killed after it had published all outputs."""
    folders = [workspace_folder(out) for out in outs]
    if any(not os.path.islink(folder) and (folder / PUBLISHED).exists() for folder in folders):
        for folder in folders:
            _remove(folder)
    for gone in filter(Path.exists, map(_gone, folders)):
        own_folder.remove(gone)


def _remove(folder: Path) -> None:
    """Remove a folder: it is renamed first, so that other runs see it vanish at once.

    The folder stays if it holds files of other programs.
    """
    if os.path.islink(folder):
        return
    if not own_folder.holds_others(folder):
        with suppress(OSError):  # the folder does not exist, or the new name is taken
            os.replace(folder, _gone(folder))
            own_folder.remove(_gone(folder))  # another run may have made a folder of the first name meanwhile
            return
    own_folder.remove(folder)


def _gone(folder: Path) -> Path:
    return folder.with_suffix(".gone")


def _is_unfinished(name: str) -> bool:
    """Return whether one of the program's files is a file that a killed run was writing."""
    return name not in (JOB, COMPLETE, PUBLISHED, LOCK) and not name.endswith(".npz")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences between two fingerprints as text, by name."""
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
