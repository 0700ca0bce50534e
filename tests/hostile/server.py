"""Runs of the command in forked processes that are watched; a program of its own, for it forks.

It reads lines of JSON, each a list of runs that go on together, and answers each with a list of what became
of them. What is slow to import is imported here, once; the folder of
the tidy inputs is this program's argument. A run is

    {"words": [...], "folder": PATH, "environment": {NAME: VALUE or null}, "setting": {...}, "seconds": n,
     "bytes": n}

and `apply` says what a setting may hold. Its outcome is {"code", "out", "err", "cpu", "peak", "killed"}: the
exit status (below 0 the signal that ended it), the streams, seconds of CPU time, bytes of memory, and why the
watch ended it.
"""

import contextlib
import errno
import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # threads would not live through a fork

_POLL = 0.005  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")
# What is imported at its first use by the libraries, or by the commands in some cases only.
_LATE = (
    "onnx.checker",
    "onnx.shape_inference",
    "onnxruntime",
    "pybigtools",
    "pyfaidx",
    "torch.export",
    "torch._export.serde.serialize",
    "torch.export.pt2_archive._package",
    "torch._inductor.cpp_builder",
    "keras",
)
_NEW_PROCESS = "from deeplift_cli.main import main; main()"


def warm_up(folder: Path) -> None:
    """Import what the commands import late, and run them once: much is made at its first use.

    Parameters
    ----------
    folder : Path
        Holds the tidy inputs.
    """
    for package in ("deeplift_cli", "deeplift_core", "deeplift_references"):
        place = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(place, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    os.environ["KERAS_BACKEND"] = "torch"
    for name in _LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from deeplift_cli.main import run

    names = ("net.pt", "net.onnx", "in.fa", "genome.fa", "in.bed", "x.bw")
    files = {name: str(folder / name) for name in names}
    os.environ["DEEPLIFT_CACHE"] = str(folder / "cache")
    given = "-q --n-references 2 -o"
    commands = (
        ["-m", files["net.pt"], "-f", files["in.fa"]],
        ["-m", files["net.onnx"], "-g", files["genome.fa"], "-r", files["in.bed"], "--bigwig", files["x.bw"]],
    )
    for number, words in enumerate(commands):
        if run(["score", *words, *given.split(), str(folder / f"{number}.h5")]):
            raise RuntimeError("the tidy inputs cannot be scored")
    os.chdir(folder)
    gc.collect()
    gc.freeze()  # so that a child's collection does not copy what they share


def _opened(descriptor: int, encoding: str) -> TextIO:
    mode, errors = (
        ("r", "strict") if descriptor == 0 else ("w", "backslashreplace" if descriptor == 2 else "strict")
    )
    return open(
        descriptor,
        mode,
        encoding=encoding,
        errors=errors,
        closefd=False,
        buffering=1 if descriptor == 2 else -1,
    )


def apply(setting: dict[str, Any]) -> None:
    """Make this process as the setting says.

    Parameters
    ----------
    setting : dict
        "umask", "user" (a number), "limits" ({"RLIMIT_NOFILE": 20}; "RLIMIT_AS" counts on top of what the
        process has), "stdout" or "stderr" ("closed", "full", "broken"), "stdin" ("closed"), "encoding" (of
        the streams), "folder" (where to run instead), "remove" (a folder: this one, perhaps).
    """
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        kind = setting.get(name)
        if kind == "closed":
            os.close(descriptor)
        elif kind == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)
        elif kind == "broken":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, descriptor)
        # As Python makes them when it starts; None is what it has for a closed one.
        stream = None if kind == "closed" else _opened(descriptor, setting.get("encoding", "utf-8"))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if "umask" in setting:
        os.umask(setting["umask"])
    for name, amount in setting.get("limits", {}).items():
        if name == "RLIMIT_AS":
            amount += int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
        resource.setrlimit(getattr(resource, name), (amount, amount))
    if "user" in setting:
        os.setgroups([])
        os.setgid(setting["user"])
        os.setuid(setting["user"])
    if "folder" in setting:
        os.chdir(setting["folder"])
    if "remove" in setting:
        os.rmdir(setting["remove"])


def child(run: dict[str, Any]) -> int:
    """What the console script does, and then what Python does at its end: wait for threads, and flush."""
    os.setsid()
    os.chdir(run["folder"])
    for name, value in run["environment"].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    apply(run["setting"])
    if run["setting"].get("process") == "new":
        os.execv(sys.executable, [sys.executable, "-c", _NEW_PROCESS, *run["words"]])
    sys.argv = ["deeplift", *run["words"]]
    from deeplift_cli.main import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - this is where Python itself would print it
        code = 1
        with contextlib.suppress(OSError):
            traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = 120  # Python's own where it cannot flush
    return code


class Streams:
    """Stdout and stderr of a run, by pipes: a limit of files' sizes must not cut them short."""

    def __init__(self) -> None:
        self._pipes = [os.pipe() for _ in range(2)]
        self._parts: list[list[bytes]] = [[], []]

    def connect(self) -> None:
        """In the child: they are its streams from now on, and it has no stdin."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for descriptor, (_, writer) in enumerate(self._pipes, start=1):
            os.dup2(writer, descriptor)
        for descriptor in (nothing, *(end for pipe in self._pipes for end in pipe)):
            os.close(descriptor)

    def begin(self) -> None:
        """In the parent, which only reads."""
        for reader, writer in self._pipes:
            os.close(writer)
            os.set_blocking(reader, False)

    def take(self) -> None:
        """Read what is there."""
        for (reader, _), parts in zip(self._pipes, self._parts, strict=True):
            with contextlib.suppress(BlockingIOError):
                while part := os.read(reader, 1 << 16):
                    parts.append(part)

    def finish(self) -> dict[str, str]:
        """All that was written."""
        self.take()
        for reader, _ in self._pipes:
            os.close(reader)
        texts = (b"".join(parts).decode(errors="backslashreplace") for parts in self._parts)
        return dict(zip(("out", "err"), texts, strict=True))


def start(run: dict[str, Any]) -> tuple[int, Streams]:
    """Fork; return the process's number and its streams."""
    streams = Streams()
    pid = os.fork()
    if pid:
        streams.begin()
        return pid, streams
    code = 99
    try:
        streams.connect()
        code = child(run)
    except BaseException:  # noqa: BLE001 - a fault of the test itself
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        _leave(code)
    raise AssertionError("a child does not get here")


def _leave(code: int) -> NoReturn:
    os._exit(code)


def memory_of(pid: int) -> int:
    """Bytes in memory; 0 where that cannot be told."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def watch(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Start the runs together, and wait until the last has ended."""
    began = time.monotonic()
    started = [start(run) for run in runs]
    going = {pid: place for place, (pid, _) in enumerate(started)}
    outcomes: list[dict[str, Any]] = [{"peak": 0, "killed": None} for _ in runs]
    signals = {pid: run["setting"].get("signal") for pid, run in zip(going, runs, strict=True)}
    while going:
        for pid, place in list(going.items()):
            run, outcome = runs[place], outcomes[place]
            memory, elapsed = memory_of(pid), time.monotonic() - began
            outcome["peak"] = max(outcome["peak"], memory)
            started[place][1].take()
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                peak = max(outcome["peak"], usage.ru_maxrss * 1024)
                cpu = usage.ru_utime + usage.ru_stime
                outcome |= {"code": os.waitstatus_to_exitcode(status), "cpu": cpu, "peak": peak}
                del going[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # processes that it left
                outcome |= started[place][1].finish()
            elif signals[pid] and elapsed > signals[pid][1]:
                os.kill(pid, signals[pid][0])
                signals[pid] = None
            elif memory > run["bytes"] or elapsed > run["seconds"]:
                outcome["killed"] = outcome["killed"] or ("memory" if memory > run["bytes"] else "time")
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL)
    return outcomes


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints is no answer
    warm_up(Path(sys.argv[1]))
    # Importing onnxruntime starts a thread in C that sleeps; it holds nothing that a child needs.
    threads = threading.active_count()
    print(json.dumps({"threads": threads}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(watch(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno != errno.EPIPE:  # who asked has gone
            raise
