"""Runs of the command that are killed at a moment of one's choice; a program of its own, for it forks.

It reads lines of JSON, {"folder": PATH, "environment": {...}, "runs": [...]}, makes these runs one after the
other in the folder, and answers each line with a JSON list of what became of them. A run is

    {"arguments": [...], "kill": null | {"after": seconds} | {"at": NAME, "call": n, "before": bool}}

and NAME is one of `MOMENTS`; seconds count from when the run would handle signals. "signal" beside "after" or
"at" names another signal than SIGKILL. Its outcome is [exit status, batches scored, stderr]; a status below 0
is the signal that ended it.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # threads would not live through a fork

from deeplift_cli.main import run
from deeplift_cli.merge import merge
from deeplift_cli.models.explainer import Explained
from deeplift_cli.outputs import export, own_folder
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.process import watched_child
from deeplift_cli.process.signals import stop_on_signals
from deeplift_cli.run import scoring_run  # noqa: F401 - everything slow is imported here, once
from deeplift_cli.verify import checks  # noqa: F401 - everything slow is imported here, once

MOMENTS: dict[str, tuple[Any, str]] = {
    "flush": (Pieces, "save"),
    "fsync": (os, "fsync"),
    "rename": (os, "replace"),
    "assembly": (ScoreFile, "append"),
    "publication": (Workspace, "mark_complete"),
    "removal": (own_folder, "remove"),
    "bigwig": (merge, "add_output"),
    "exporting": (export, "add_output"),
    "listening": (watched_child, "_listen"),
}
SECONDS_PER_BATCH = 0.01  # so that there is something to interrupt


def wrap(owner: Any, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        before()
        result = original(*arguments, **options)
        after()
        return result

    setattr(owner, name, wrapped)


def arm(at: str, call: int, before: bool, number: signal.Signals) -> None:
    """Send this process a signal before or after the n-th call of what the moment names."""
    calls = [0]

    def kill() -> None:
        os.kill(os.getpid(), number)

    def count() -> None:
        calls[0] += 1
        if before and calls[0] == call:
            kill()

    def check() -> None:
        if not before and calls[0] == call:
            kill()

    wrap(*MOMENTS[at], count, check)


def child(arguments: list[str], moment: dict[str, Any] | None, log: Path, err: Path, ready: int) -> int:
    def note() -> None:
        with log.open("ab") as file:
            file.write(b".")
        time.sleep(SECONDS_PER_BATCH)

    for descriptor, path in ((1, os.devnull), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    wrap(Explained, "score", lambda: None, note)
    if moment and "at" in moment:
        arm(moment["at"], moment["call"], moment["before"], signal_of(moment))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have jobs in the background ignore it
    stop_on_signals()
    os.close(ready)
    return run(arguments)


def signal_of(moment: dict[str, Any]) -> signal.Signals:
    return signal.Signals[moment.get("signal", "SIGKILL")]


def outcome(arguments: list[str], moment: dict[str, Any] | None) -> tuple[int, int, str]:
    log, err = Path("batches.log"), Path("err.txt")
    log.write_bytes(b"")
    handled, ready = os.pipe()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = child(arguments, moment, log, err, ready)
        finally:
            os._exit(code)
    os.close(ready)
    os.read(handled, 1)  # comes back when the child closes its end
    os.close(handled)
    if moment and "after" in moment:
        time.sleep(moment["after"])
        os.kill(pid, signal_of(moment))
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), len(log.read_bytes()), err.read_text()


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        print(json.dumps([outcome(run["arguments"], run["kill"]) for run in asked["runs"]]), flush=True)
        os.chdir("/")  # so that the folder can be removed


if __name__ == "__main__":
    main()
