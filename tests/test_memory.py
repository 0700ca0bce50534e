"""Memory is estimated before it is taken: what cannot fit is refused with the estimate, what fits is not."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import deeplift, random_letters, torchscript, write_fasta

from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.errors import OutOfMemoryError
from deeplift_cli.models import batch_memory, explainer
from deeplift_cli.models.batch_memory import BatchMemory
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process import memory

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of a kernel of one's own, with 16 GB installed and no limit."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\nSwapFree: 1000000 kB\n")
    (proc / "self" / "cgroup").write_text("")
    (proc / "self" / "statm").write_text("1000 500 0 0 0 0 0\n")
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_installed", lambda: 16 * GB)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(str(content))


def test_what_the_machine_has_left(machine: Path) -> None:
    assert memory.available_memory(CPU) == 9_000_000 * 1024
    assert memory.memory_of(CPU) == 16 * GB
    (machine / "proc" / "meminfo").unlink()
    assert memory.available_memory(CPU) == 16 * GB


def test_limits_of_control_groups_of_version_2_hold_up_to_the_root(machine: Path) -> None:
    """As Slurm sets them: on the job, not on the step in it. Caches of files are given back."""
    (machine / "proc" / "self" / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    write(machine / "cgroup", memory__max="max\n", memory__current=12 * GB)
    write(machine / "cgroup/slurm/job_7/step_0", memory__max="max", memory__current=3 * GB)
    write(
        machine / "cgroup/slurm/job_7", memory__max=4 * GB, memory__current=3 * GB,
        memory__stat=f"anon {GB}\ninactive_file {GB}\nactive_file {GB}\n",
    )  # fmt: skip
    assert memory.available_memory(CPU) == 4 * GB - GB
    assert memory.memory_of(CPU) == 4 * GB
    write(machine / "cgroup/slurm/other", memory__max=1)
    assert memory.memory_of(CPU) == 4 * GB


def test_limits_of_control_groups_of_version_1(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("4:cpu,memory:/docker/abc\n0::/\n")
    write(
        machine / "cgroup/memory/docker/abc", memory__limit_in_bytes=2 * GB, memory__usage_in_bytes=GB,
        memory__stat=f"total_inactive_file {GB // 2}\ninactive_file {GB}\n",
    )  # fmt: skip
    write(machine / "cgroup/memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=5 * GB)
    assert memory.available_memory(CPU) == 2 * GB - GB // 2
    assert memory.memory_of(CPU) == 2 * GB


def test_inside_a_container_the_limit_is_at_the_root(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("0::/\n")
    write(machine / "cgroup", memory__max=GB, memory__current=GB // 4)
    assert memory.available_memory(CPU) == GB - GB // 4


def test_the_limit_on_address_space(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * GB, resource.RLIM_INFINITY))
    page = resource.getpagesize()
    assert memory.available_memory(CPU) == 3 * GB - 1000 * page
    write(machine / "proc" / "self", statm=f"{4 * GB // page} 0")
    assert memory.available_memory(CPU) == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (63_400_000, "63 MB"), (9.94 * GB, "9.9 GB"),
     (5e15, "5,000 TB")],
)  # fmt: skip
def test_sizes_in_words(size: float, text: str) -> None:
    assert memory.in_words(size) == text


# ---- batches


def of(**changes: object) -> BatchMemory:
    options = ScoreOptions(model=Path("m.pt"), out=Path("a.h5"), fasta=Path("in.fa"))
    return BatchMemory.of(replace(options, **changes), 1000, 64, CPU)  # type: ignore[arg-type]


def test_what_counts() -> None:
    one_hot = 4 * 1000 * 4
    assert of().per_row == one_hot * (2 + 20 * (2 + 3))
    assert of(precision="float64").per_row == 2 * of().per_row
    assert of(n_references=1).per_row == one_hot * (2 + 5)
    assert of(reference="zeros").per_row == of(n_references=1).per_row
    assert of(reference="background:bg.fa", n_references=10**9).per_row == of(n_references=1).per_row
    assert of().with_values(7).per_row == 7 + one_hot * 100


@pytest.mark.parametrize(
    ("free", "changes", "message"),
    [
        (103_000_000, {}, "m.pt: a batch of 64 sequences of 1,000 bp with 20 references each takes at least "
                          "131 MB of memory, and 103 MB are free; give --batch-size 25 or less"),
        (100_000, {"rows": 1}, "one sequence of 1,000 bp with 20 references each .* fewer --n-references"),
        (100_000, {"rows": 1, "values": 10**6, "references": 1}, "one sequence of 1,000 bp .* shorter seq"),
        (10_000, {"takes_count": False}, "give a smaller --batch-size"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, free: int, changes: dict[str, int], message: str
) -> None:
    monkeypatch.setattr(batch_memory, "available_memory", lambda _: free)
    batch = replace(of(), **changes)  # type: ignore[arg-type]
    with pytest.raises(OutOfMemoryError, match=message):
        batch.check(Path("m.pt"))
    monkeypatch.setattr(batch_memory, "available_memory", lambda _: batch.size)
    batch.check(Path("m.pt"))


def refused(monkeypatch: pytest.MonkeyPatch, free: int, *options: object) -> str:
    """A run with so much memory, which must not run the model on the whole batch or length."""
    sizes: list[int] = []
    one_hot = explainer.one_hot

    def noting(rows: int, length: int, seed: int = 0) -> torch.Tensor:
        sizes.append(rows * length)
        return one_hot(rows, length, seed)

    with monkeypatch.context() as patched:
        patched.setattr(batch_memory, "available_memory", lambda _: free)
        patched.setattr(explainer, "one_hot", noting)
        outcome = deeplift("score", "-m", torchscript("AnyLength"), "-f", "in.fa", "-o", "a.h5", *options)
    assert outcome.code == 1, outcome
    assert outcome.err.count("\n") == 1
    assert all(size * 16 < free for size in sizes)
    return outcome.err


def test_a_batch_is_refused_by_the_models_own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options alone would fit: it is measured on two rows."""
    write_fasta(Path("in.fa"), [random_letters(0, 2000)])
    of_input = 512 * 32_000 * (2 + 5) // 2
    err = refused(monkeypatch, of_input, "--batch-size", 512, "--n-references", 1)
    assert "a batch of 512 sequences of 2,000 bp (as in in.fa) takes at least" in err
    assert "give --batch-size " in err


def test_one_sequence_that_is_too_long_for_a_model_of_any_length_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the model runs on any of it: short sequences are measured."""
    long = 300_000
    write_fasta(Path("in.fa"), ["ACGT" * (long // 4)])
    tried: list[int] = []
    for module in (explainer, batch_memory):
        for name in ("find_layout", "find_batch_size"):
            original = getattr(module, name, None)
            if original is not None:

                def noting(*args: Any, original: Any = original, **options: Any) -> Any:
                    tried.append(options.get("length") or args[-1])
                    return original(*args, **options)

                monkeypatch.setattr(module, name, noting)
    err = refused(monkeypatch, 16 * long * 11, "--n-references", 1)
    assert "one sequence of 300,000 bp (as in in.fa) takes at least" in err
    assert "give shorter sequences" in err
    assert max(tried) < long


def test_a_long_sequence_for_a_model_of_one_length_is_told_so_without_running_it() -> None:
    write_fasta(Path("in.fa"), ["ACGT" * 75_000])
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5")
    assert outcome.code == 1
    assert "does not take sequences of 300,000 bp; it takes 24 bp" in outcome.err


def test_a_long_sequence_that_fits_is_scored() -> None:
    write_fasta(Path("in.fa"), ["ACGT" * 75_000])
    outcome = deeplift(
        "score", "-m", torchscript("AnyLength"), "-f", "in.fa", "-o", "a.h5", "--n-references", 1
    )
    assert outcome.code == 0, outcome.err
