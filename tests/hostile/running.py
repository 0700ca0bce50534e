"""Runs a case in a folder of its own, and finds out what became of it."""

import atexit
import functools
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from hostile import tidy
from hostile.cases import Case, Plain

MOST_SECONDS, MOST_BYTES = 20, 2 << 30
# A machine that is busy with other work gets longer before a run counts as hanging.
_PATIENCE = 60


@dataclass(frozen=True)
class Outcome:
    """What became of a run: exit code, streams, seconds of CPU time, bytes, and why the watch ended it."""

    code: int
    out: str
    err: str
    cpu: float
    peak: int
    killed: str | None


@dataclass(frozen=True)
class Place:
    """Folders of one case: that of its files, where the command runs, and those of the environment."""

    root: Path

    def __post_init__(self) -> None:
        for folder in (self.work, self.cache, self.home, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def environment(self) -> dict[str, str | None]:
        return {
            "DEEPLIFT_CACHE": str(self.cache),
            "HOME": str(self.home),
            "TMPDIR": str(self.scratch),
            "COLUMNS": None,
            "LINES": None,
            "XDG_CACHE_HOME": None,
        }


def payload_of(folder: Path) -> Path:
    """The file that hostile code in a case's files makes if it runs."""
    return folder.parent / "payload-ran"


class Server:
    """The program that forks; started at its first use and ended with this process."""

    def __init__(self) -> None:
        path = Path(__file__).with_name("server.py")
        environment = dict(os.environ)
        # Not this folder: its modules have names of packages.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        folder = session_place("tidy").work
        tidy.fill(folder)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(path), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            env=environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self.threads: int = self._answer()["threads"]

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise RuntimeError("the program that runs the cases has ended")
        return json.loads(line)

    def run(self, runs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What became of runs that went on together."""
        print(json.dumps(list(runs)), file=self._questions, flush=True)
        return list(self._answer())

    def close(self) -> None:
        """End the program."""
        self._questions.close()
        self._process.wait()


@functools.cache
def server() -> Server:
    """The one of this process."""
    found = Server()
    atexit.register(found.close)
    return found


def run_together(
    place: Place,
    commands: Sequence[Sequence[str]],
    environment: Mapping[str, str | None] | None = None,
    setting: Mapping[str, Any] | None = None,
) -> list[Outcome]:
    """Run commands at the same time in one folder."""
    runs = [
        {
            "words": list(words),
            "folder": str(place.work),
            "setting": dict(setting or {}),
            "environment": {**place.environment, **(environment or {})},
            "seconds": _PATIENCE,
            "bytes": MOST_BYTES,
        }
        for words in commands
    ]
    return [Outcome(**outcome) for outcome in server().run(runs)]


def run(place: Place, words: Sequence[str], case: Case | None = None) -> Outcome:
    """Run one command, as the case says."""
    if case is None:
        return run_together(place, [words])[0]
    return run_together(place, [words], case.environment, case.setting)[0]


def prepare(case: Case, place: Place) -> list[str]:
    """Make a case's folder, and return its words."""
    tidy.fill(place.work)
    for name, content in case.files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (place.work / name).write_bytes(data)
    made = case.make(place.work) if case.make is not None else None
    for command in case.first:
        outcome = run(place, command)
        assert outcome.code == 0, f"the command before it failed: {outcome.err}"
    if case.change is not None:
        case.change(place.work)
    user = case.setting.get("user")
    if user is not None:
        place.root.chmod(0o777)
        for path in (place.root, *place.root.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
    return list(made) if _are_words(made) else list(case.words)


def _are_words(made: object) -> TypeGuard[list[str]]:
    return isinstance(made, list) and bool(made) and all(isinstance(word, str) for word in made)


def contents(folder: Path) -> dict[str, str]:
    """What is in a folder: a word for each name, other for other content."""
    return {
        os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace"): _content(path)
        for path in sorted(folder.rglob("*"))
    }


def _content(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {os.readlink(path)!r}"
    if not stat.S_ISREG(mode):
        return f"kind {stat.S_IFMT(mode):o}"
    if path.lstat().st_size > 64 << 20:
        return f"{path.lstat().st_size} bytes"
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _plain_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="deeplift-plain-", dir=_session_folder()))


@functools.cache
def _session_folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="deeplift-hostile-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def session_place(name: str) -> Place:
    """A place that lives as long as this process, for what several cases share."""
    return Place(_session_folder() / name)


@functools.cache
def plain_scores(plain: Plain) -> Path:
    """The score file of a tidy run."""
    place = Place(Path(tempfile.mkdtemp(dir=_plain_folder())))
    tidy.fill(place.work)
    if plain.make is not None:
        plain.make(place.work)
    (place.work / "plain.fa").write_text(tidy.fasta(*plain.letters))
    words = f"score -q -m {plain.model} -f plain.fa -o plain.h5 --n-references 2 {plain.options}"
    outcome = run(place, words.split())
    assert outcome.code == 0, f"the tidy run failed: {outcome.err}"
    return place.work / "plain.h5"
