"""Large jobs on a real Slurm of one node: arrays, cancelling, the notice before the end, Snakemake.

The machine has one such Slurm, so the processes of pytest-xdist take turns.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from score_files import datasets

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[1]
SLURM = ROOT / "tests" / "slurm"
MODEL = ROOT / "examples" / "tal1_gata.onnx"
FASTA = ROOT / "examples" / "sequences.fa"  # a hundred sequences
BATCH = 4
FEW, MANY = 5, 200  # references: a second's work, and a third of a second for each batch
NOTHING_HAD = 77  # exit code of slurm/start
PATIENCE = 240


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    """Slurm runs; it is stopped afterwards, unless it ran before."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    if not os.environ.get("CI") and shutil.which("slurmctld", path=path) is None:
        pytest.skip("Slurm is not installed (as root on Debian, tests/slurm/start installs it)")
    with (
        pytest.MonkeyPatch.context() as patch,
        open(Path(tempfile.gettempdir()) / f"deeplift-slurm-{os.getuid()}.lock", "w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = subprocess.run([SLURM / "start"], capture_output=True, text=True)
        if started.returncode == NOTHING_HAD:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stderr
        patch.setenv("PATH", path)  # jobs inherit it
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
        if "already" not in started.stdout:
            subprocess.run([SLURM / "stop"], check=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Jobs start in the current folder; none is left behind by a test that failed."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for line in run("squeue", "--noheader", "--format=%i %Z").splitlines():
        job, _, place = line.partition(" ")
        if Path(place).is_relative_to(tmp_path):
            run("scancel", job)


# ---- Slurm


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def submit_array(n: int, n_references: int, tasks: str | None = None) -> str:
    """Submit docs/slurm_array.sbatch as users do, with a command and its environment; all tasks or some."""
    settings = {
        "MODEL": str(MODEL),
        "INPUT": f"--fasta {FASTA}",
        "BATCH_SIZE": str(BATCH),
        "OPTIONS": f"--n-references {n_references} --compile off",
        "SHARDS": str(n),
    }
    words = [
        "sbatch",
        "--parsable",
        f"--array={tasks or f'1-{n}'}",
        "--cpus-per-task=1",
        "--mem=1500",
        "--time=10",
    ]
    words += [ROOT / "docs" / "slurm_array.sbatch"]
    return run("env", *(f"{key}={value}" for key, value in settings.items()), *words)


def submit_merge(array: str) -> str:
    return run(
        "sbatch", "--parsable", f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes", "--mem=1000",
        "--wrap", "deeplift merge scores/peaks.*-of-*.h5 -o scores/peaks.h5",
    )  # fmt: skip


def queue(job: str) -> list[str]:
    """State of each task that has not ended."""
    return run("squeue", "--noheader", "--array", "--format=%T", f"--jobs={job}").splitlines()


def details(job: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in run("scontrol", "show", "job", job).split() if "=" in word)


def wait_until(true: Callable[[], object], logs: str = "*.log") -> None:
    """Wait, and show what jobs wrote if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            written = [f"{path}:\n{path.read_text()}" for path in Path().rglob(logs)]
            pytest.fail("\n".join([run("squeue"), run("scontrol", "show", "jobs"), *written]))
        time.sleep(0.2)


def pieces(folder: Path) -> dict[str, int]:
    """When each finished batch was written; none where the shard is done."""
    with contextlib.suppress(FileNotFoundError):
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    return {}


# ---- Scores


@functools.cache
def single_run(n_references: int) -> Path:
    """The whole job at once."""
    path = _folder() / f"{n_references}.h5"
    run(
        "deeplift", "score", "-m", MODEL, "-f", FASTA, "-o", path, "--batch-size", BATCH,
        "--n-references", n_references, "--compile", "off", "--threads", 1,
    )  # fmt: skip
    return path


@functools.cache
def _folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="deeplift-slurm-"))
    atexit.register(shutil.rmtree, path)
    return path


def assert_same(path: Path, expected: Path) -> None:
    """Equal bit for bit in every dataset."""
    found, wanted = datasets(path), datasets(expected)
    assert "shap/seq" in wanted
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


# ---- Tests


def test_an_array_and_its_merge_job_equal_one_run() -> None:
    array = submit_array(4, FEW)
    merge = submit_merge(array)
    expected = single_run(FEW)
    wait_until(lambda: not queue(merge))
    assert details(merge)["JobState"] == "COMPLETED"
    assert len(list(Path("scores").glob("peaks.*-of-4.h5"))) == 4
    assert_same(Path("scores/peaks.h5"), expected)
    assert Path("scores/peaks.bed").read_text() == expected.with_suffix(".bed").read_text()


@pytest.mark.long
def test_tasks_that_are_cancelled_or_out_of_time_go_on_where_they_were() -> None:
    cancelled, noticed = (Path(f"scores/.peaks.{shard}-of-2.h5.pieces") for shard in (1, 2))
    array = submit_array(2, MANY)
    merge = submit_merge(array)
    wait_until(lambda: len(pieces(cancelled)) > 3)
    run("scancel", f"{array}_1")
    wait_until(lambda: len(pieces(noticed)) > 3)
    run("scancel", "--batch", "--signal=USR1", f"{array}_2")  # as Slurm does shortly before the time is over

    wait_until(lambda: queue(array) == ["PENDING"])
    assert details(f"{array}_1")["ExitCode"] == "143:0"
    assert details(f"{array}_2")["Restarts"] == "1"
    before = {folder: pieces(folder) for folder in (cancelled, noticed)}
    assert not list(Path("scores").glob("*.h5"))

    # Slurm lets two minutes pass before a job that was put back. Started within the second in which it was, a
    # node would take it for the one that has ended: credentials are revoked by the second.
    run("scontrol", "update", f"JobId={array}_2", "StartTime=now+2")
    wait_until(lambda: len(pieces(noticed)) > len(before[noticed]))
    assert before[noticed].items() <= pieces(noticed).items()
    wait_until(lambda: not queue(array))
    assert details(f"{array}_2")["JobState"] == "COMPLETED"
    wait_until(lambda: not queue(merge))
    assert details(merge)["JobState"] == "CANCELLED"  # it would have merged half of the scores

    array = submit_array(2, MANY, "1")  # the second task has nothing to do
    merge = submit_merge(array)
    wait_until(lambda: len(pieces(cancelled)) > len(before[cancelled]))
    assert before[cancelled].items() <= pieces(cancelled).items()
    expected = single_run(MANY)
    wait_until(lambda: not queue(merge))
    assert details(merge)["JobState"] == "COMPLETED"
    for task in 1, 2:
        assert sum("resumed" in path.read_text() for path in Path().glob(f"deeplift-*_{task}.log")) == 1
    assert_same(Path("scores/peaks.h5"), expected)
    assert not list(Path("scores").glob(".*"))


@pytest.mark.long
def test_snakemake_runs_shards_as_jobs_and_takes_up_what_was_cancelled() -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    Path("config.yaml").write_text(
        f"""
        report: false
        samples:
          example:
            model: {MODEL}
            fasta: {FASTA}
            bigwig: false
            shards: 4
            batch_size: {BATCH}
            threads: 1
            mem_mb: 1500
            runtime: 10
            score: {{n-references: {MANY}, compile: "off"}}
        """
    )
    words = ["snakemake", "--snakefile", ROOT / "Snakefile", "--profile", ROOT / "profiles" / "slurm"]
    words += ["--configfile", "config.yaml", "--slurm-init-seconds-before-status-checks", 2]
    words += ["--seconds-between-status-checks", 2, "--latency-wait", 10]
    with open("snakemake.log", "w") as log:
        workflow = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)
    first = Path("results/example/shards/1/1-of-4.unfinished/.scores_0.h5.pieces")
    wait_until(lambda: len(pieces(first)) > 2)
    jobs = run("squeue", "--noheader", "--states=RUNNING", "--format=%i %k").splitlines()
    (job,) = (job.split()[0] for job in jobs if "example_1_1_4" in job)
    run("scancel", job)
    wait_until(lambda: not queue(job))
    before = pieces(first)
    assert before

    wait_until(lambda: len(pieces(first)) > len(before))  # the profile's --retries
    assert before.items() <= pieces(first).items()
    expected = single_run(MANY)
    assert workflow.wait(PATIENCE) == 0, Path("snakemake.log").read_text()
    assert_same(Path("results/example/scores_0.h5"), expected)
    assert "Trying to restart job" in Path("snakemake.log").read_text()
