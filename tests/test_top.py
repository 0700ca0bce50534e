"""Whatever happens, the user reads one line: what was done, with which file, and what to do."""

import gzip
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import Outcome, deeplift, random_letters, torchscript, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.models import explainer, fold_mean
from deeplift_cli.models.explainer import Explained
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.process import failures, signals
from deeplift_cli.process.steps import step, step_of
from deeplift_cli.run import references, scoring_run
from deeplift_cli.run.batches import Records
from deeplift_cli.threads.background import Background
from deeplift_cli.threads.prefetch import Prefetch

START = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(6)])
    return tmp_path


def words(*options: object) -> list[str]:
    given = ["score", "-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", "--batch-size", 2, *options]
    return list(map(str, given))


def failing(
    owner: Any, name: str, error: BaseException, *options: object, before: tuple[str, ...] = ()
) -> Outcome:
    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, fail)
        return deeplift(*before, *words(*options))


STEPS = {
    "reading the model ({model})": (fold_mean, "read_model"),
    "reading sequences (in.fa)": (scoring_run, "open_source"),
    "recording the model ({model})": (explainer, "find_layout"),
    "reading sequences (in.fa), later": (Records, "_encoded"),
    "reading sequences (in.fa), for references": (references, "count_identical"),
    "scoring batch 1 ({model})": (Explained, "score"),
    "writing (a.h5)": (ScoreFile, "append"),
}


@pytest.mark.parametrize("where", STEPS)
@pytest.mark.parametrize("kind", [KeyError, ZeroDivisionError, SystemExit, EOFError])
def test_what_nobody_expected_is_one_line_that_says_where(where: str, kind: type[BaseException]) -> None:
    error = kind("x\ny")
    outcome = failing(*STEPS[where], error)
    assert outcome.code == 1
    assert outcome.out == ""
    *notes, line = outcome.err.splitlines()
    assert len(notes) == (where == "writing (a.h5)")  # what is kept
    assert line.startswith(f"deeplift: unexpected {type(error).__name__}: ")
    if not isinstance(error, SystemExit):
        assert f" while {where.partition(',')[0]};".format(model=torchscript("Net")) in line
    assert "please report this" in line
    assert "deeplift 0." in line


@pytest.mark.parametrize(("before", "options"), [(("-v",), ()), ((), ("-v",)), (("--verbose",), ())])
def test_verbose_shows_the_traceback(before: tuple[str, ...], options: tuple[str, ...]) -> None:
    outcome = failing(Explained, "score", KeyError("x"), *options, before=before)
    assert "Traceback" in outcome.err
    assert "while scoring batch 1 (" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("deeplift: unexpected KeyError: 'x' while scoring batch 1")
    assert "Traceback" not in deeplift(*before, *words(*options)[:-1], "x.fa").err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory while reading the model"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "not enough memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(12, "Cannot allocate memory"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no further thread can be started while reading the model"),
        (RecursionError("maximum depth"), "something is nested more deeply than Python can follow while"),
        (OSError(28, "x", "some.file"), "some.file: No space left on device (while reading the model"),
        (OSError("no number"), "unexpected OSError: no number while reading the model"),
        (ValueError("x" * 5000), "unexpected ValueError: xxx"),
    ],
)  # fmt: skip
def test_known_kinds_are_told_in_their_own_words(error: Exception, said: str) -> None:
    outcome = failing(fold_mean, "read_model", error)
    assert outcome.code == 1
    assert outcome.err.startswith(f"deeplift: {said}")
    assert outcome.err.count("\n") == 1
    assert len(outcome.err) < 1000


def test_too_little_memory_while_scoring_names_the_file_and_the_option_that_helps() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    outcome = failing(explainer.Scorer, "score", error)
    assert f"{torchscript('Net')}: not enough memory; give --batch-size 1 or less" in outcome.err
    one = failing(explainer.Scorer, "score", error, "--batch-size", 1, "--n-references", 50)
    assert f"{torchscript('Net')}: not enough memory; give fewer --n-references" in one.err


def test_an_exception_keeps_its_cause_and_step_from_thread_to_thread() -> None:
    def failing_items() -> Any:
        with step("reading sequences", Path("in.fa")):
            yield 1
            raise UserError("told") from OSError(28, "full")

    def fail() -> None:
        with step("writing", Path("a.h5")):
            raise UserError("told") from OSError(28, "full")

    def read() -> None:
        with Prefetch(failing_items(), 1) as items:
            list(items)

    def keep() -> None:
        with Background(1) as background:
            background.submit(fail)

    for run, where in ((read, "while reading sequences (in.fa)"), (keep, "while writing (a.h5)")):
        with pytest.raises(UserError) as caught:
            run()
        assert isinstance(caught.value.__cause__, OSError)
        assert step_of(caught.value) == where


def test_the_innermost_step_is_told() -> None:
    with pytest.raises(KeyError) as caught, step("outer", Path("o")), step("inner", Path("i")):
        raise KeyError
    assert step_of(caught.value) == "while inner (i)"
    assert step_of(KeyError()) == ""


def test_a_signal_counts_whatever_a_library_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_received", signals.Stopped(signal.SIGTERM))
    outcome = failing(fold_mean, "read_model", ImportError("numpy failed"))
    assert (outcome.code, outcome.err) == (143, "deeplift: stopped by SIGTERM\n")


# ---- as processes


def process(
    *arguments: str, limit: Callable[[], None] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*START, *arguments], text=True, timeout=120, preexec_fn=limit, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"]])
def test_a_reader_of_help_that_has_gone_is_no_failure(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = process(*arguments, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_the_first_modules_are_imported() -> None:
    """As early as the process has a handler for it."""
    begun = subprocess.Popen(
        [*START, "--help"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = Path(f"/proc/{begun.pid}/status").read_text().splitlines()
        mask = int(next(line for line in lines if line.startswith("SigCgt")).split()[1], 16)
        if mask >> (signal.SIGUSR1 - 1) & 1:  # ours; Python has one for SIGINT only
            break
        assert begun.poll() is None
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=60)
    assert (begun.returncode, err) in ((130, "deeplift: stopped by SIGINT\n"), (0, ""))  # or it was done


def test_too_little_address_space_is_one_line_about_memory() -> None:
    """`ulimit -v`: torch's libraries, or what they allocate first, find no place."""
    import resource

    done = process(
        *words(), capture_output=True,
        limit=lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, resource.RLIM_INFINITY)),
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("deeplift: not enough memory")
    assert "ulimit -v allows 0.4 GB in all" in last


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id without a name, and no HOME, as in many containers."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "DEEPLIFT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nobody")
def test_a_user_without_name_or_home_needs_a_cache_for_genomes_only() -> None:
    assert deeplift(*words()).code == 0
    gzipped = gzip.compress(f">chr1\n{random_letters(1, 200)}\n".encode())
    Path("g.fa.gz").write_bytes(gzipped)
    Path("r.bed").write_text("chr1\t50\t90\n")
    given = words("-o", "b.h5")
    given[given.index("-f") : given.index("-f") + 2] = ["-g", "g.fa.gz", "-r", "r.bed"]
    outcome = deeplift(*given)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "set DEEPLIFT_CACHE to one" in outcome.err


def test_what_is_about_memory() -> None:
    assert failures.is_about_memory(RuntimeError("std::bad_alloc"))
    assert not failures.is_about_memory(ValueError("out of memory"))
    assert not failures.is_about_memory(RuntimeError("a memory of old days"))
