"""Put small faults into the package, one at a time, and see whether the tests notice them.

    python tools/mutation/run.py [GROUP ...] [--sample 20] [--seed 0] [--seconds 60]

A group is a part of the package and the tests that are about it. Its tests are run once in a copy of the
repository, and coverage notes which test runs which line. Then faults are drawn at random, the same ones for
the same seed and source. For each fault those tests are run that run a line of it, the fastest first, until
one fails, and then those that start processes, in which coverage cannot tell which test runs a line. A line
that coverage does not see at all (compiled by numba, run at import) is tested by all tests of the group. A
fault that no test notices is printed as a diff: either it changes nothing that a user could see, or a test is
missing.

Each run of tests is a fork of this process, which has imported the libraries.
"""

import argparse
import importlib
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (".", "cli", "references")
_IMPORTED = (
    "torch",
    "pytest",
    "hypothesis",
    "h5py",
    "numba",
    "click",
    "pyfaidx",
    "pybigtools",
    "pyBigWig",
    "onnx",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # a fork loses threads
_STARTED = 0.5  # CPU seconds: a new Python with the package in it takes more, a fork of the test less
_KILLED, _SURVIVED, _TIMEOUT = "killed", "survived", "timeout"


@dataclass(frozen=True)
class Group:
    """A part of the package, and the tests that are about it.

    Attributes
    ----------
    package : str
        The folder of the package.
    part : str
        The name of the module or the subpackage in it; empty for all of the package.
    tests : tuple of str
        Patterns of test files.
    options : tuple of str
        More options of pytest.
    """

    package: str
    part: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()

    def files(self, root: Path) -> list[Path]:
        """The modules of this group, in the order of their names."""
        package = root / self.package
        found = sorted(
            path
            for path in package.rglob("*.py")
            if not self.part or self.part in path.relative_to(package).with_suffix("").parts
        )
        if not found:
            raise SystemExit(f"{package} has no module and no package called {self.part}")
        return found


GROUPS = {
    "rules": Group(
        "deeplift_core", "rules", ("tests/test_core_*.py",), ("-m", "quick", "--hypothesis-profile", "quick")
    ),
    "references": Group("references/deeplift_references", "", ("tests/test_references_*.py",)),
    "outputs": Group(
        "cli/deeplift_cli", "outputs",
        ("tests/test_outputs_*.py", "tests/test_workspace.py", "tests/test_verify.py"),
    ),
    "merge": Group("cli/deeplift_cli", "merge", ("tests/test_merge.py", "tests/test_verify.py")),
}  # fmt: skip


@dataclass
class _Durations:
    """A plugin of pytest that notes how long each test took, and how long the processes that it waited for.

    The path takes them as JSON, for each test the seconds and the CPU seconds of its processes.
    """

    path: Path
    taken: dict[str, tuple[float, float]] = field(default_factory=dict)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.taken[nodeid] = (time.monotonic(), _of_children())

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        began, before = self.taken[nodeid]
        self.taken[nodeid] = (time.monotonic() - began, _of_children() - before)

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.taken))


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def copied(folder: Path) -> Path:
    """Copy what git knows of, and what it does not ignore, to a folder."""
    command = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def pytest_in_fork(
    root: Path, arguments: list[str], log: Path, seconds: float | None, plugins: list[object]
) -> int | None:
    """Run pytest in a forked process.

    Parameters
    ----------
    root : Path
        Where to run it.
    arguments : list of str
        Its arguments.
    log : Path
        Takes what it prints.
    seconds : float or None
        How long it may take.
    plugins : list of object
        Its plugins.

    Returns
    -------
    int or None
        Its exit code, or None where it was ended because it took too long.
    """
    child = os.fork()
    if child == 0:
        os.setsid()  # so that what the tests start is ended with them
        os.chdir(root)
        with open(log, "w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        pytest = importlib.import_module("pytest")
        code = 70
        try:
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments], plugins))
        finally:
            sys.stdout.flush()
            os._exit(code)
    ends = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end(child)
            return os.waitstatus_to_exitcode(status)
        if ends is not None and time.monotonic() > ends:
            _end(child)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass(frozen=True)
class Baseline:
    """The group's tests without a fault.

    Attributes
    ----------
    seconds : dict of str to float
        How long each test took.
    forking : set of str
        The tests that start processes of their own.
    tests : dict of str to dict of int to set of str
        The tests of each line of each file.
    """

    seconds: dict[str, float]
    forking: set[str]
    tests: dict[str, dict[int, set[str]]]

    def tests_of(self, mutant: Mutant, limit: float) -> list[str]:
        """The tests that could notice a fault, the fastest first, in two parts of `limit` seconds each."""
        first, last = mutant.lines
        lines = self.tests[mutant.path]
        found = {test for line in range(first, last + 1) for test in lines.get(line, ())}
        if not found:
            return self._fastest(set(self.seconds), limit)
        return self._fastest(found, limit) + self._fastest(self.forking - found, limit)

    def _fastest(self, tests: set[str], limit: float) -> list[str]:
        chosen, total = [], 0.0
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            total += self.seconds[test]
            if total > limit:
                break
            chosen.append(test)
        return chosen


def baseline(root: Path, group: Group) -> Baseline:
    """Run the group's tests once, with coverage."""
    files = [str(path.relative_to(root)) for pattern in group.tests for path in sorted(root.glob(pattern))]
    notes, log, data = root / "durations.json", root / "baseline.log", root / ".coverage"
    arguments = [*files, *group.options, "--cov", "--cov-context=test", "--cov-report="]
    if pytest_in_fork(root, arguments, log, None, [_Durations(notes)]):
        raise SystemExit(f"the tests fail without a fault:\n{log.read_text()[-5000:]}")
    coverage = importlib.import_module("coverage").CoverageData(str(data))
    coverage.read()
    taken = json.loads(notes.read_text())
    seconds = {test: took for test, (took, _) in taken.items()}
    forking = {test for test, (_, of_processes) in taken.items() if of_processes > _STARTED}
    tests: dict[str, dict[int, set[str]]] = {}
    for path in group.files(root):
        lines = coverage.contexts_by_lineno(str(path))
        tests[str(path.relative_to(root))] = {
            line: {name for context in contexts if (name := context.rpartition("|")[0]) in seconds}
            for line, contexts in lines.items()
        }
    data.unlink()
    return Baseline(seconds, forking, tests)


def fate(root: Path, mutant: Mutant, found: Baseline, limit: float) -> str:
    """Put a fault into the copy, run the tests that could notice it, and take it out again."""
    path = root / mutant.path
    original = path.read_bytes()
    compiled = Path(importlib.util.cache_from_source(str(path)))
    tests = found.tests_of(mutant, limit)
    allowed = 20 + 3 * sum(found.seconds[test] for test in tests)
    try:
        compiled.unlink(missing_ok=True)
        path.write_text(mutant.source)
        code = pytest_in_fork(root, ["-x", *tests], root / "mutant.log", allowed, [])
    finally:
        path.write_bytes(original)
        compiled.unlink(missing_ok=True)
    if code == 5:
        raise SystemExit(f"no test was run on this fault:\n{mutant.diff}")
    return _TIMEOUT if code is None else _KILLED if code else _SURVIVED


def run_group(name: str, sample: int, seed: int, limit: float) -> Counter[str]:
    """Draw faults in one group, print what becomes of each, and count."""
    group = GROUPS[name]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="deeplift-mutation-") as folder:
        root = copied(Path(folder).resolve())
        os.environ["COVERAGE_FILE"] = str(root / ".coverage")  # also of processes in other folders
        os.environ["PYTHONPATH"] = os.pathsep.join(str(root / package) for package in _PACKAGES)
        sys.path[:0] = [str(root / package) for package in _PACKAGES]
        every = [
            mutant
            for path in group.files(root)
            for mutant in mutants(str(path.relative_to(root)), path.read_text())
        ]
        chosen = random.Random(f"{name} {seed}").sample(every, min(sample, len(every)))
        started = time.monotonic()
        found = baseline(root, group)
        print(f"{name}: {len(found.seconds)} tests, {time.monotonic() - started:.0f} s with coverage; "
              f"{len(chosen)} of {len(every)} faults", flush=True)  # fmt: skip
        for mutant in sorted(chosen, key=lambda mutant: (mutant.path, mutant.lines)):
            started = time.monotonic()
            outcome = fate(root, mutant, found, limit)
            counts[outcome] += 1
            took = time.monotonic() - started
            print(f"  {outcome:9}{took:5.1f} s  {mutant.path}:{mutant.lines[0]}  {mutant.kind}", flush=True)
            if outcome == _SURVIVED:
                print(mutant.diff, flush=True)
        del sys.path[: len(_PACKAGES)]
    return counts


def main() -> None:
    """Run the groups and print the table."""
    parser = argparse.ArgumentParser(description="See which small faults in the package the tests notice.")
    parser.add_argument(
        "groups", nargs="*", default=list(GROUPS), help=f"of {', '.join(GROUPS)}; all without this"
    )
    parser.add_argument("--sample", type=int, default=20, help="faults a group (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of faults (default 0)")
    parser.add_argument(
        "--seconds", type=float, default=60, help="of tests a fault, in each of two parts (default 60)"
    )
    given = parser.parse_args()
    for name in given.groups:
        if name not in GROUPS:
            parser.error(f"there is no group {name}; the groups are {', '.join(GROUPS)}")
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    for name in _IMPORTED:
        importlib.import_module(name)
    table = {name: run_group(name, given.sample, given.seed, given.seconds) for name in given.groups}
    print(f"\n{'group':12}{_KILLED:>10}{_TIMEOUT:>10}{_SURVIVED:>10}")
    for name, counts in table.items():
        print(f"{name:12}{counts[_KILLED]:10}{counts[_TIMEOUT]:10}{counts[_SURVIVED]:10}")


if __name__ == "__main__":
    main()
