"""Progress bars: the total is known with the first batch and is reached with the last; pipes see none."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_models import LENGTH, deeplift, onnx_file, random_letters, torchscript, write_fasta
from terminals import read_to_end

from deeplift_cli.process.screen import Screen

N = 13  # records: batches of 4 leave one over
START = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
FEW = ("--n-references", 2, "--batch-size", 4)

Told = list[list[tuple[int, int]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of which one is too short, and the same number of regions of a genome, one outside."""
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), {f"r{i}": random_letters(i, LENGTH - (i == 2)) for i in range(N)})
    write_fasta(Path("genome.fa"), {"chr1": random_letters(99, 400)})
    starts = [20 * i for i in range(N - 1)]
    lines = [f"chr1\t{start}\t{start + LENGTH}\n" for start in (*starts, 390)]
    Path("in.bed").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What each bar was told."""
    bars: Told = []

    @contextmanager
    def progress(self: Screen, *, at_once: bool = True) -> Iterator[Callable[[int, int], None]]:
        bars.append([])
        yield lambda done, total: bars[-1].append((done, total))

    monkeypatch.setattr(Screen, "progress", progress)
    return bars


def done(*words: object) -> None:
    outcome = deeplift(*words)
    assert outcome.code == 0, outcome.err


def score(*words: object) -> None:
    done("score", "-m", onnx_file(), *FEW, *words)


def check(bar: list[tuple[int, int]], total: int, first: int = 1) -> None:
    """Every call has the same total, numbers never fall, and the last is the total."""
    assert {of for _, of in bar} == {total}
    numbers = [number for number, _ in bar]
    assert numbers == sorted(numbers)
    assert first <= numbers[0] < total or len(numbers) == 1
    assert numbers[-1] == total


def test_scoring(folder: Path, told: Told) -> None:
    score("-f", "in.fa", "-o", "a.h5")
    score("-g", "genome.fa", "-r", "in.bed", "-o", "b.h5")
    score("-f", "in.fa", "-o", "c.h5", "--sample", 6)
    assert len(told) == 3
    check(told[0], N)
    check(told[1], N)
    check(told[2], 6)


@pytest.mark.parametrize(
    "source", [("-f", "in.fa"), ("-g", "genome.fa", "-r", "in.bed")], ids=["FASTA", "BED"]
)
def test_shards_have_their_own_totals(folder: Path, told: Told, source: tuple[str, ...]) -> None:
    """12 records can be scored, in 3 batches of 4."""
    for number in (1, 2):
        score(*source, "-o", f"{number}.h5", "--shard", f"{number}/2")
    assert sorted(bar[-1][1] for bar in told) == [4, 8]
    for bar in told:
        check(bar, bar[-1][1], first=0)


def test_finished_files(folder: Path, told: Told) -> None:
    for number in (1, 2):
        score("-f", "in.fa", "-o", f"{number}.h5", "--shard", f"{number}/2")
    told.clear()
    done("merge", "1.h5", "2.h5", "-o", "all.h5")
    done("verify", "all.h5")
    done("verify", "all.h5", "-m", onnx_file(), "-n", 9)
    done("export", "all.h5", "--bedgraph", "all.bedGraph", "--npz", "all.npz")
    merged, verified, before, again, exported = told
    for bar in (merged, verified, before):
        check(bar, N - 1)
    check(again, 9)
    assert {of for _, of in exported} == {N - 1}
    assert [number for number, _ in exported].count(N - 1) == 10  # the file is read so often


def test_averages_count_each_row_once(folder: Path, told: Told) -> None:
    score("-f", "in.fa", "-o", "1.h5")
    done("score", "-m", torchscript("Net"), *FEW, "-f", "in.fa", "-o", "2.h5")
    told.clear()
    done("merge", "--average", "1.h5", "2.h5", "-o", "mean.h5")
    check(told[0], N - 1)


def on_terminal(*words: object) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*START, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    written = read_to_end(ours)
    assert process.wait() == 0, written
    return written.decode()


def test_a_terminal_shows_the_bar_and_a_pipe_does_not(folder: Path) -> None:
    score("-f", "in.fa", "-o", "a.h5")
    words = ("export", "a.h5", "--bedgraph", "a.bedGraph", "--overwrite")
    assert re.search(r"\b12 of 12 sequences", on_terminal(*words))
    assert "12 of 12" not in on_terminal(*words, "--quiet")
    piped = subprocess.run([*START, *words], capture_output=True, text=True, check=True)
    assert "of 12 sequences" not in piped.stdout + piped.stderr
    assert piped.stderr == ""
