"""The cache: one process makes an entry while others wait, and nothing of anybody else's is touched."""

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_models import deeplift, random_letters, torchscript, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import cache_folder
from deeplift_cli.sequences.cache import CacheEntry
from deeplift_cli.sequences.genome import Genome

LETTERS = random_letters(1, 1_000_000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(f">chr1\n{LETTERS}\n".encode(), 1))
    return path


# Waits for the starting signal, so that all processes are at the cache at once.
FETCH = """
import sys
from pathlib import Path
from deeplift_cli.process import signals
from deeplift_cli.sequences.genome import Genome
signals.stop_on_signals()
print("ready", flush=True)
sys.stdin.readline()
try:
    print(Genome(Path(sys.argv[1]), lambda note: print(note, flush=True)).fetch("chr1", 500_000, 500_050))
except signals.Stopped as stopped:
    sys.exit(stopped.exit_code)
"""

HOLD = """
import sys
from pathlib import Path
from deeplift_cli.sequences.cache import CacheEntry
entry = CacheEntry(Path(sys.argv[1]))
with entry.lock(print), entry.build(".fa", ".fa.fai") as (copy, fai):
    copy.write_text("half of a co")
    print("held", flush=True)
    sys.stdin.readline()
    raise SystemExit
"""


def start(script: str, genome: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", script, genome], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() in ("ready\n", "held\n")
    return process


def finish(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate("go\n", timeout=60)
    return out


def test_of_processes_that_start_together_one_unpacks(genome: Path, cache: Path) -> None:
    processes = [start(FETCH, genome) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outs = [process.communicate(timeout=60)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert all(out.endswith(f"{LETTERS[500_000:500_050].encode()}\n") for out in outs)
    assert sum("writing an unpacked copy" in out for out in outs) == 1
    assert sorted(file.suffix for file in cache.iterdir()) == [".fa", ".fai"]


def test_a_process_that_waits_says_for_whom_and_stops_on_a_signal(genome: Path, cache: Path) -> None:
    holder = start(HOLD, genome)
    waiting = start(FETCH, genome)
    assert waiting.stdin is not None
    assert waiting.stdout is not None
    waiting.stdin.write("go\n")
    waiting.stdin.flush()
    assert f"process {holder.pid} on " in waiting.stdout.readline()
    began = time.monotonic()
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(timeout=30) == 143
    assert time.monotonic() - began < 10
    finish(holder)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_blocks_nobody_and_is_removed(genome: Path, cache: Path) -> None:
    holder = start(HOLD, genome)
    holder.kill()
    holder.wait()
    left = sorted(file.name.rpartition("part-")[1] for file in cache.iterdir())
    assert left == ["", "part-"]  # a lock that nobody holds, and half of a copy
    notes = list[str]()
    assert Genome(genome, notes.append).fetch("chr1", 5, 9) == LETTERS[5:9].encode()
    assert len(notes) == 1
    assert sorted(file.suffix for file in cache.iterdir()) == [".fa", ".fai"]


def test_where_there_are_no_locks_everybody_builds(
    genome: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    entry = CacheEntry(genome)
    with entry.lock(print), entry.build(".fai") as (theirs,):
        theirs.write_text("")
        assert Genome(genome).fetch("chr1", 5, 9) == LETTERS[5:9].encode()
        assert theirs.exists()  # another process may be writing it
    assert Genome(genome).sizes == {"chr1": len(LETTERS)}


def test_links_and_foreign_files_are_neither_followed_nor_removed(genome: Path, cache: Path) -> None:
    entry = CacheEntry(genome)
    family = entry.path("").name.rpartition(".")[0]
    cache.mkdir()
    precious = cache.parent / "precious"
    precious.write_text("mine")
    foreign = [
        cache / "notes.txt",
        cache / f"{family}.txt",
        cache / f"{family}.1-2.fa.bak",
        cache / f"{family}.x-2.fa",
    ]
    for path in foreign:
        path.write_text("mine")
    link = cache / f"{family}.1-2.fa"
    link.symlink_to(precious)
    old = cache / f"{family}.1-3.fa"
    old.write_text("of an older state")
    Genome(genome)
    assert [path.read_text() for path in foreign] == ["mine"] * 4
    assert link.is_symlink()
    assert precious.read_text() == "mine"
    assert not old.exists()

    for suffix in (".fa", ".fa.fai", "lock"):
        place = entry.path(suffix) if suffix != "lock" else cache / f"{family}.lock"
        for path in cache.glob(f"{family}.*-*.fa*"):
            if not path.is_symlink() and path not in foreign:
                path.unlink()
        place.symlink_to(precious)
        with pytest.raises(UserError, match="set DEEPLIFT_CACHE"):
            Genome(genome)
        assert precious.read_text() == "mine"
        assert place.is_symlink()
        place.unlink()


def test_a_folder_in_the_place_of_an_entry_is_told(genome: Path, cache: Path) -> None:
    CacheEntry(genome).path(".fa").mkdir(parents=True)
    with pytest.raises(UserError, match="is not a file of its own"):
        Genome(genome)


def test_without_a_home_the_message_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, genome: Path
) -> None:
    monkeypatch.delenv("DEEPLIFT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # in no list of users
    with pytest.raises(UserError, match="set DEEPLIFT_CACHE to one"):
        cache_folder()
    Path(tmp_path / "r.bed").write_text("chr1\t100\t150\n")
    outcome = deeplift(
        "score",
        "-m",
        torchscript("AnyLength"),
        "-g",
        genome,
        "-r",
        tmp_path / "r.bed",
        "-o",
        tmp_path / "o.h5",
    )
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "DEEPLIFT_CACHE" in outcome.err
    # A genome with an index beside it needs no cache.
    plain = write_fasta(tmp_path / "plain.fa", {"chr1": LETTERS[:500]})
    plain.with_name("plain.fa.fai").write_text("chr1\t500\t6\t500\t501\n")
    assert Genome(plain).fetch("chr1", 0, 500) == LETTERS[:500].encode()


@pytest.mark.parametrize("name", ["é" * 100 + ".fa", os.fsdecode(b"\xff" * 120 + b".fa")])
def test_names_of_any_bytes_and_length_have_an_entry(tmp_path: Path, name: str) -> None:
    path = write_fasta(tmp_path / name, {"chr1": LETTERS[:500]})
    assert Genome(path).fetch("chr1", 490, 500) == LETTERS[490:500].encode()
