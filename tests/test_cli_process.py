"""The command as a process: exit codes, streams, signals and memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_models import deeplift, random_letters, torchscript, write_fasta

from deeplift_cli.process import signals

START = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(3)])
    return tmp_path


def command(*arguments: object) -> list[str]:
    return [*START, *map(str, arguments)]


def score_command(fasta: str = "in.fa", *options: object) -> list[str]:
    return command("score", "-m", torchscript("Net"), "-f", fasta, "-o", "results/out.h5", *options)


def test_streams_and_exit_code_of_a_run_that_works() -> None:
    Path("results").mkdir()
    done = subprocess.run(score_command(), capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""  # no warnings of libraries, no progress bar without a terminal
    assert "sequences scored    3\n" in done.stdout
    assert sorted(os.listdir("results")) == ["out.bed", "out.h5", "out.skipped.tsv"]


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "deeplift_cli", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("deeplift")


def test_exit_code_of_options_that_make_no_sense() -> None:
    done = subprocess.run(command("score", "-m", "model.onnx"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--out" in done.stderr


def test_a_reader_that_has_gone_is_no_failure() -> None:
    """`deeplift score ... | head -1`: the files are written by then."""
    show = "from deeplift_cli.process.screen import Screen; Screen(quiet=False).show(['a line'] * 9)"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", show], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["score", "--help"], ["merge", "--help"], ["inspect", "--help"], ["--version"]]
)
def test_help_waits_neither_for_torch_nor_for_h5py(arguments: list[str]) -> None:
    check = (
        "import sys; from deeplift_cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or 9 * bool({'torch', 'h5py'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", check, *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    assert "deeplift" in done.stdout


# ---- signals


def while_writing(_: subprocess.Popen[str]) -> bool:
    return any(Path("results").glob(".*.pieces/*.npz"))


def while_importing_torch(process: subprocess.Popen[str]) -> bool:
    try:
        return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
    except ProcessLookupError:
        return False


def heed_interrupts() -> None:
    """A shell starts background jobs, such as a run of these tests, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stopped(
    numbers: list[signal.Signals], moment: Callable[[subprocess.Popen[str]], bool]
) -> tuple[int, str]:
    """Start a long run, send it signals at the moment given, and return its exit code and stderr."""
    write_fasta(Path("many.fa"), [random_letters(seed) for seed in range(100)] * 200)
    Path("results").mkdir()
    process = subprocess.Popen(
        score_command("many.fa"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 120
    while not moment(process):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for number in numbers:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, err


@pytest.mark.parametrize(
    ("numbers", "moment", "code"),
    [
        ([signal.SIGTERM], while_writing, 143),
        ([signal.SIGUSR1], while_writing, 138),
        ([signal.SIGINT, signal.SIGTERM, signal.SIGINT], while_writing, 130),  # an impatient user
        pytest.param([signal.SIGTERM], while_importing_torch, 143,
                     marks=pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")),
    ],
    ids=["SIGTERM", "SIGUSR1", "SIGINT and more", "during import"],
)  # fmt: skip
def test_a_signal_ends_the_run_and_leaves_what_is_finished(
    numbers: list[signal.Signals], moment: Callable[[subprocess.Popen[str]], bool], code: int
) -> None:
    found, err = stopped(numbers, moment)
    assert found == code
    *kept, last = err.splitlines()
    assert last == f"deeplift: stopped by {numbers[0].name}"
    if moment is while_writing:
        assert os.listdir("results") == [".out.h5.pieces"]
        finished = len(list(Path("results").glob(".*.pieces/*.npz")))
        assert kept == [f"deeplift: {finished} finished batches are kept: the same command resumes from them"]
    else:
        assert (kept, os.listdir("results")) == ([], [])


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


NEVER_RETURNS = "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**30)\n"  # takes minutes, in which no handler runs


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "before",
    ["", "try:\n    while True: sum(range(1000))\nexcept signals.Stopped: pass\n"],
    ids=["at once", "after a library that swallows the exception"],
)
def test_a_signal_ends_code_that_never_returns(before: str) -> None:
    code = (
        "import hashlib\n"
        "from deeplift_cli.process import signal_deadline, signals\n"
        "signal_deadline.PATIENCE = 0.5\n"
        "signals.stop_on_signals()\n"
        f"{before}{NEVER_RETURNS}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        while cpu_seconds(process) < 1:  # the imports take a tenth of a second
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "deeplift: stopped by SIGINT; code of the model did not return within 0.5 s\n"


def test_a_program_that_handles_signals_may_take_its_time_to_end() -> None:
    code = (
        "import os, signal, threading\n"
        "from deeplift_cli.process import signal_deadline, signals\n"
        "signal_deadline.PATIENCE = 0.2\n"
        "signals.stop_on_signals()\n"
        "with signals.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    threading.Event().wait(1.5)\n"
        "    print('saved')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "saved\n", "")


@contextmanager
def noted(steps: list[str], signal_at: str) -> Iterator[None]:
    """A file, say, that notes what happens to it; the signal comes at a step of its own."""
    send(signal_at == "opening")
    steps.append("opened")
    try:
        yield
        steps.append("complete")
    except signals.Stopped:
        steps.append("stopped")
        raise
    finally:
        send(signal_at == "closing")
        steps.append("closed")


@pytest.mark.parametrize(
    ("signal_at", "expected"),
    [
        ("opening", ["opened", "stopped", "closed"]),
        ("inside", ["opened", "stopped", "closed"]),
        ("closing", ["opened", "inside", "complete", "closed"]),
    ],
)
def test_opening_and_closing_are_not_disturbed(
    monkeypatch: pytest.MonkeyPatch, signal_at: str, expected: list[str]
) -> None:
    steps: list[str] = []

    def job() -> None:
        with signals.deferred(), noted(steps, signal_at), signals.interruptible():
            send(signal_at == "inside")
            steps.append("inside")
        signals.check_stopped()

    monkeypatch.setattr(signals, "_received", None)
    with pytest.raises(signals.Stopped):
        job()
    assert steps == expected


def send(really: bool) -> None:
    if really:
        signals._stop(signal.SIGTERM, None)


def test_a_stop_that_a_library_swallowed_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some call Python code from C and turn its exceptions into their own, or into nothing."""
    Path("results").mkdir()
    monkeypatch.setattr(signals, "_received", signals.Stopped(signal.SIGTERM))
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "in.fa", "-o", "results/out.h5")
    assert outcome.code == 143
    assert os.listdir("results") == []
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "none.fa", "-o", "results/out.h5")
    assert outcome.code == 143


# ---- a full disc

LIMITED = """
import resource, sys
from deeplift_cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
sys.exit(run(["score", "-q", "-m", sys.argv[1], "-f", "many.fa", "-o", "results/out.h5",
              "--save-references", "results/refs.h5", "--threads", "1", "--batch-size", "64"]))
"""


def test_a_full_disc_under_the_references_is_told_and_loses_nothing() -> None:
    """A limit on the size of files stands for the disc; HDF5 alone would crash the process at its end."""
    Path("results").mkdir()
    write_fasta(Path("many.fa"), [random_letters(seed) for seed in range(300)])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(torchscript("Net"))], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "deeplift: references results/refs.h5 cannot be written: File too large\n"
    assert os.listdir("results") == [".out.h5.pieces"]


# ---- memory

PEAKS = """
import resource, sys
from deeplift_cli.main import run
def peak(fasta):
    assert run(["score", "-q", "-m", sys.argv[1], "-f", fasta, "-o", fasta + ".h5", "--n-references", "2",
                "--threads", "1", "--batch-size", "32"]) == 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first = peak("few.fa")
print((peak("many.fa") - first) / (1024 if sys.platform == "linux" else 1024**2))
"""


def test_memory_does_not_grow_with_the_number_of_sequences() -> None:
    """Five times as many: kept, their scores alone would be 26 MB, and with their references 100 MB.

    HDF5's caches for chunks, which are bounded, fill up in the meantime (about 20 MB).
    """
    letters = [random_letters(seed, 1000) for seed in range(400)]
    write_fasta(Path("few.fa"), letters)
    write_fasta(Path("many.fa"), letters * 5)
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, str(torchscript("AnyLength"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40  # MB
