"""Nothing finished is ever lost: runs killed at any moment, faults, and what a run that goes on refuses."""

import atexit
import errno
import fcntl
import functools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from score_files import datasets
from small_models import deeplift, random_letters, score, torchscript, write_fasta

from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.lock import FolderLock, LockedError
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.pieces import DamagedPieceError, Pieces
from deeplift_cli.sequences import Region, Skipped

RECORDS, ROWS = 43, 4
BATCHES = 11  # of which the last is not full
# Renames: two of the description, one of each batch, that outputs begin to appear, three outputs, that all
# are there, and the folder's. From here on a run has nothing left to do but to tidy up.
PUBLISHED = [
    ("rename", BATCHES + 7, False), ("rename", BATCHES + 8, True), ("rename", BATCHES + 8, False),
]  # fmt: skip
KILLS = 20
LOST = 2  # what a kill can cost: the batch that is being scored, and the one that is being kept


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(RECORDS)])
    return tmp_path


def words(out: str = "a.h5", *options: object) -> list[str]:
    given = ["score", "-m", torchscript("Net"), "-f", "in.fa", "-o", out, "--n-references", 2,
             "--batch-size", ROWS, "--threads", 1, "--compile", "off", *options]  # fmt: skip
    return list(map(str, given))


@functools.cache
def forking() -> subprocess.Popen[str]:
    """The program of `killed_runs`, started once for all tests: its imports take seconds."""
    script = Path(__file__).with_name("killed_runs.py")
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)  # closes its stdin, at which it ends
    return process


def runs(*given: tuple[list[str], dict[str, Any] | None]) -> list[tuple[int, int, str]]:
    """Exit status, batches scored and stderr of each run, one after the other."""
    asked = [{"arguments": arguments, "kill": moment} for arguments, moment in given]
    process = forking()
    line = json.dumps({"folder": os.getcwd(), "environment": dict(os.environ), "runs": asked})
    print(line, file=process.stdin, flush=True)
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 300)
    assert readable, "the runs take too long"
    return [tuple(item) for item in json.loads(process.stdout.readline())]


@pytest.fixture
def expected() -> dict[str, Any]:
    score(*words("whole.h5")[1:])
    return datasets("whole.h5")


def hidden() -> list[str]:
    return [name for name in os.listdir() if name.startswith(".")]


# ---- killed


@pytest.mark.long
def test_twenty_kills_at_random_moments_lose_nothing(expected: dict[str, Any]) -> None:
    """Four jobs, each killed five times before it may end."""
    moments = np.random.default_rng(0).uniform(0.02, 0.4, (KILLS // 5, 5))
    killed = 0
    for number, of_this_job in enumerate(moments):
        given = words(f"a{number}.h5")
        found = runs(*((given, {"after": after}) for after in of_this_job), (given, None))
        kills = sum(status == -9 for status, *_ in found)
        assert all(status in (0, -9) or "exists; give --overwrite" in err for status, _, err in found)
        assert sum(batches for _, batches, _ in found) <= BATCHES + LOST * kills
        assert datasets(f"a{number}.h5") == expected
        assert Path(f"a{number}.bed").read_bytes() == Path("whole.bed").read_bytes()
        killed += kills
    assert killed > KILLS // 2  # the others came when a fast machine was done
    assert hidden() == []


def moments(calls: dict[str, tuple[int, ...]], *sides: bool) -> list[dict[str, Any]]:
    """Moments before or after each of these calls."""
    return [
        {"at": at, "call": call, "before": before}
        for at, several in calls.items() for call in several for before in sides
    ]  # fmt: skip


# After a rename that another one follows is before that one.
EACH_KIND = [
    *moments({"flush": (1,), "fsync": (3,), "assembly": (7,), "removal": (1,)}, True),
    *moments({"flush": (BATCHES,), "publication": (1,)}, False),
    *moments({"rename": (1, 6, *range(BATCHES + 3, BATCHES + 9))}, False),
]
EVERY = moments(
    {"flush": (1, BATCHES), "fsync": (3,), "assembly": (7,), "publication": (1,), "removal": (1,),
     "rename": (1, 2, 6, *range(BATCHES + 3, BATCHES + 9))}, True, False,
)  # fmt: skip


@pytest.mark.parametrize(
    "moments",
    [pytest.param(EACH_KIND, id="each kind"), pytest.param(EVERY, id="every", marks=pytest.mark.long)],
)
def test_a_kill_at_a_chosen_moment_loses_nothing(
    expected: dict[str, Any], moments: list[dict[str, Any]]
) -> None:
    """Before and after a piece is written, an fsync, a rename, each step of the end."""
    given = [(words(f"{i}.h5"), moment) for i, moment in enumerate(moments)]
    killed, resumed = runs(*given), runs(*((arguments, None) for arguments, _ in given))
    for i, (moment, (first, computed, _), (second, again, err)) in enumerate(
        zip(moments, killed, resumed, strict=True)
    ):
        assert first == -9, moment  # the moment came
        done = moment["at"] == "removal" or (moment["at"], moment["call"], moment["before"]) in PUBLISHED
        assert (second == 1 and "exists; give --overwrite" in err) if done else second == 0, (moment, err)
        assert computed + again <= BATCHES + LOST, moment
        assert datasets(f"{i}.h5") == expected, moment
        assert Path(f"{i}.bed").read_bytes() == Path("whole.bed").read_bytes(), moment
    assert hidden() == []


def test_a_kill_while_files_are_published_leaves_the_user_nothing_to_do(expected: dict[str, Any]) -> None:
    """The first of the outputs is there: without --overwrite, the same command still goes on."""
    (first, *_), (second, again, _) = runs(
        (
            words("a.h5", "--save-references", "refs.h5"),
            {"at": "rename", "call": BATCHES + 5, "before": False},
        ),
        (words("a.h5", "--save-references", "refs.h5"), None),
    )
    assert (first, second, again) == (-9, 0, 0)
    assert datasets("a.h5") == expected
    score(*words("refs-whole.h5", "--save-references", "whole-refs.h5")[1:])
    assert datasets("refs.h5") == datasets("whole-refs.h5")


def test_several_targets_go_on_together(expected: dict[str, Any]) -> None:
    given = words("t{target}.h5", "--target", "0,1")
    (first, computed, _), (second, again, _) = runs(
        (given, {"at": "flush", "call": 6, "before": True}), (given, None)
    )
    assert (first, second) == (-9, 0)
    assert computed + again <= BATCHES + LOST
    assert datasets("t0.h5") == expected
    score(*words("whole{target}.h5", "--target", "0,1")[1:])
    assert datasets("t1.h5") == datasets("whole1.h5")
    assert hidden() == []


def test_what_was_decided_automatically_is_kept() -> None:
    """The batch size that `auto` finds may be another on the next machine."""
    given = [*words()[:-8], "--threads", "1"]
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(800)])
    ((first, *_),) = runs((given, {"at": "flush", "call": 2, "before": False}))
    assert first == -9
    job = json.loads(Path(".a.h5.pieces/job.json").read_text())
    assert job["decisions"] == {"batch_size": 256, "compile": "off"}
    job["decisions"]["batch_size"] = 32  # as if it had been found on another machine
    Path(".a.h5.pieces/job.json").write_text(json.dumps(job))
    for piece in Path(".a.h5.pieces").glob("*.npz"):
        piece.unlink()
    score(*given[1:])
    with h5py.File("a.h5") as file:
        assert file.attrs["batch_size"] == 32


# ---- what a run refuses to go on from


def interrupted(*options: object) -> None:
    """As a killed run leaves it, with four finished batches."""

    def fail(self: Pieces, number: int, *rest: Any) -> None:
        if number == 4:
            raise MemoryError
        save(self, number, *rest)

    save = Pieces.save
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pieces, "save", fail)
        assert deeplift(*words("a.h5", *options)).code == 1
    assert len(list(Path(".a.h5.pieces").glob("*.npz"))) == 4


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (["--seed", "3"], "--seed was 0, now 3"),
        (["--batch-size", "8"], "--batch-size was 4, now 8"),
        (["--rule", "rescale"], "--rule was genomics-default, now rescale"),
        (["--target", "1"], "--target was [0], now [1]"),
        (["--rc-average"], "--rc-average was off, now on"),
        (["--reference", "zeros"], "--reference was dinucleotide, now zeros"),
    ],
)
def test_other_options_are_refused_by_name(
    expected: dict[str, Any], change: list[str], difference: str
) -> None:
    interrupted()
    given = words()
    if change[0] == "--reference":
        del given[given.index("--n-references") : given.index("--n-references") + 2]
    outcome = deeplift(*given, *change)
    assert outcome.code == 1
    assert difference in outcome.err
    assert "--no-resume to start over" in outcome.err
    assert score(*words()[1:]).out.count("resumed")
    assert datasets("a.h5") == expected


def test_options_that_change_no_score_may_change(expected: dict[str, Any]) -> None:
    interrupted()
    Path("moved").mkdir()
    shutil.copy("in.fa", "moved/in.fa")
    given = words("a.h5", "--max-completeness-error", "1", "-v")
    given[given.index("in.fa")] = "moved/in.fa"
    assert "16 sequences that an earlier run" in score(*given[1:]).out
    assert datasets("a.h5") == expected


def test_no_resume_starts_over(expected: dict[str, Any]) -> None:
    interrupted("--seed", "3")
    outcome = score(*words("a.h5", "--no-resume")[1:])
    assert "resumed" not in outcome.out
    assert datasets("a.h5") == expected
    assert hidden() == []


def test_a_changed_fasta_file_is_refused() -> None:
    interrupted()
    write_fasta(Path("in.fa"), [random_letters(seed + 1) for seed in range(RECORDS)])
    outcome = deeplift(*words())
    assert outcome.code == 1
    assert "the FASTA file has changed" in outcome.err


def test_a_changed_genome_is_refused() -> None:
    """Its size is the same; sequences are compared as they are read again."""
    letters = random_letters(1, 24 * RECORDS)
    write_fasta(Path("genome.fa"), {"chr1": letters})
    Path("in.bed").write_text("".join(f"chr1\t{24 * i}\t{24 * i + 24}\n" for i in range(RECORDS)))
    given = words()
    given[given.index("-f") : given.index("-f") + 2] = ["-g", "genome.fa", "-r", "in.bed"]
    ((status, *_),) = runs((given, {"at": "flush", "call": 4, "before": False}))
    assert status == -9
    write_fasta(Path("genome.fa"), {"chr1": letters[:200] + random_letters(2, 10) + letters[210:]})
    outcome = deeplift(*given)
    assert outcome.code == 1
    assert "records 9 to 12 have changed" in outcome.err


def test_references_from_a_whole_genome_that_has_changed_elsewhere_are_refused() -> None:
    """Base frequencies are those of all regions, also of those that were not scored yet."""
    letters = random_letters(1, 24 * RECORDS)
    write_fasta(Path("genome.fa"), {"chr1": letters})
    Path("in.bed").write_text("".join(f"chr1\t{24 * i}\t{24 * i + 24}\n" for i in range(RECORDS)))
    given = words("a.h5", "--reference", "frequency")
    given[given.index("-f") : given.index("-f") + 2] = ["-g", "genome.fa", "-r", "in.bed"]
    del given[given.index("--n-references") : given.index("--n-references") + 2]
    ((status, *_),) = runs((given, {"at": "flush", "call": 2, "before": False}))
    assert status == -9
    write_fasta(Path("genome.fa"), {"chr1": letters[:-24] + "A" * 24})
    outcome = deeplift(*given)
    assert outcome.code == 1
    assert "the content of the genome at these regions has changed" in outcome.err
    write_fasta(Path("genome.fa"), {"chr1": letters})
    assert "from 8 sequences" in score(*given[1:]).out


# ---- faults


@pytest.mark.parametrize("how", ["cut", "flipped", "emptied", "renamed", "renamed in qc"])
def test_a_damaged_piece_is_made_again(expected: dict[str, Any], how: str) -> None:
    interrupted()
    piece = Path(".a.h5.pieces/00000002.npz")
    content = bytearray(piece.read_bytes())
    content[len(content) // 2] ^= 1
    original = piece.read_bytes()
    changed = {
        "cut": original[:-100], "flipped": content, "emptied": b"",
        "renamed": original.replace(b"projected_shap/seq.sizes", b"projected_shap/seq.sizez"),
        "renamed in qc": original.replace(b"qc/prediction", b"qc/predictiom"),
    }  # fmt: skip
    piece.write_bytes(changed[how])
    outcome = deeplift(*words())
    if outcome.code:  # found when everything else was there
        assert "is damaged" in outcome.err
        assert "the same command scores that batch again" in outcome.err
        outcome = deeplift(*words())
    assert outcome.code == 0, outcome.err
    assert datasets("a.h5") == expected


@pytest.fixture
def small_disc() -> Iterator[Path]:
    """A disc of its own, too small for all batches."""
    Path("small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", "small"]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system in memory is not allowed here")
    yield Path("small")
    subprocess.run(["umount", "small"], check=True)


def test_a_full_disc_keeps_what_is_finished(expected: dict[str, Any], small_disc: Path) -> None:
    outcome = deeplift(*words("small/a.h5"))
    assert outcome.code == 1
    assert "output small/a.h5 cannot be written: No space left on device" in outcome.err
    finished = len(list(Path("small/.a.h5.pieces").glob("*.npz")))
    assert 0 < finished < RECORDS // ROWS
    assert f"{finished} finished batches are kept" in outcome.err
    subprocess.run(["mount", "-o", "remount,size=10m", "small"], check=True)
    assert f"from {ROWS * finished} sequences" in score(*words("small/a.h5")[1:]).out
    assert datasets("small/a.h5") == expected


def test_a_folder_that_becomes_read_only_keeps_what_is_finished(
    expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere: it is made another user in the meantime."""
    workspace = Path(".a.h5.pieces")

    def save(self: Pieces, number: int, *rest: Any) -> None:
        if number == 5:
            workspace.chmod(0o555)
            if not user:
                os.seteuid(65534)
        original(self, number, *rest)

    user, original = os.geteuid(), Pieces.save
    with monkeypatch.context() as patched:
        patched.setattr(Pieces, "save", save)
        try:
            outcome = deeplift(*words())
        finally:
            os.seteuid(user)
    assert outcome.code == 1
    assert "output a.h5 cannot be written: Permission denied" in outcome.err
    workspace.chmod(0o755)
    assert f"from {5 * ROWS} sequences" in score(*words()[1:]).out
    assert datasets("a.h5") == expected


def test_two_runs_on_one_output(expected: dict[str, Any]) -> None:
    holder = FolderLock(Path(".a.h5.pieces"))
    outcome = deeplift(*words())
    assert outcome.code == 1
    assert f"output a.h5 is being written by another run (process {os.getpid()} on" in outcome.err
    holder.release()
    score(*words()[1:])
    assert datasets("a.h5") == expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:20],
        lambda text: "[]",
        lambda text: '{"job": {}, "decisions": [], "additions": {}}',
        lambda text: text.replace('"batch_size": 4', '"batch_size": "4"'),
        lambda text: text.replace('"compile": "off"', '"compile": {}'),
        lambda text: text.replace('"additions": {}', '"additions": null'),
        lambda text: "[" * 100_000,
    ],
    ids=[
        "empty",
        "cut",
        "a list",
        "decisions a list",
        "rows a text",
        "compile an object",
        "no additions",
        "deep",
    ],
)
def test_a_damaged_description_is_told_and_loses_nothing(
    expected: dict[str, Any], damage: Callable[[str], str]
) -> None:
    """Each batch says of which job it is."""
    interrupted()
    path = Path(".a.h5.pieces/job.json")
    before = path.read_text()
    path.write_text(damage(before))
    outcome = score(*words()[1:])
    assert outcome.err.count("job.json, which says of which job") == 1
    assert "Traceback" not in outcome.err
    assert "from 16 sequences" in outcome.out
    assert datasets("a.h5") == expected
    assert hidden() == []


def test_a_shard_does_not_take_the_place_of_a_whole_job(expected: dict[str, Any]) -> None:
    interrupted()
    outcome = deeplift(*words("a.h5", "--shard", "1/3"))
    assert outcome.code == 1
    assert "--shard was not given, now 1/3" in outcome.err
    score(*words()[1:])
    assert datasets("a.h5") == expected


def test_only_the_outputs_of_the_run_that_was_cut_short_are_replaced(expected: dict[str, Any]) -> None:
    ((status, *_),) = runs((words(), {"at": "rename", "call": BATCHES + 4, "before": False}))
    assert (status, Path("a.bed").exists(), Path("a.h5").exists()) == (-9, True, False)
    Path("other.h5").write_text("someone else's")
    outcome = deeplift(*words("a.h5", "--save-references", "other.h5"))
    assert (outcome.code, Path("other.h5").read_text()) == (1, "someone else's")
    assert "other.h5 exists; give --overwrite" in outcome.err
    assert (
        "a.bed, which is written beside a.h5, exists; give --overwrite"
        in deeplift(*words("a.h5", "--no-resume")).err
    )
    score(*words()[1:])
    assert datasets("a.h5") == expected


def test_what_is_left_of_a_run_that_had_finished_is_removed(expected: dict[str, Any]) -> None:
    """It was killed when one of two workspaces was gone."""
    given = words("t{target}.h5", "--target", "0,1")
    (first, *_), (second, again, err) = runs(
        (given, {"at": "removal", "call": 1, "before": False}), (given, None)
    )
    assert (first, second, again) == (-9, 1, 0)
    assert "exists; give --overwrite" in err
    assert datasets("t0.h5") == expected
    assert hidden() == []


def test_long_names_have_workspaces_of_their_own(expected: dict[str, Any]) -> None:
    name = "x" * 210 + "{target}.h5"
    score(*words(name, "--target", "0,1")[1:])
    assert datasets("x" * 210 + "0.h5") == expected
    score(*words("\u6f22" * 70 + ".h5")[1:])
    assert datasets("\u6f22" * 70 + ".h5") == expected


def test_references_may_go_to_another_disc(small_disc: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=10m", "small"], check=True)
    score(*words("a.h5", "--save-references", "small/refs.h5")[1:])
    assert Path("small/refs.h5").exists()
    assert os.listdir("small") == ["refs.h5"]


# ---- the parts


def test_a_lock_is_not_taken_on_a_folder_that_is_gone() -> None:
    first = FolderLock(Path("x"))
    shutil.rmtree("x")
    second = FolderLock(Path("x"))
    with pytest.raises(LockedError, match="process"):
        FolderLock(Path("x"))
    first.release()
    second.release()


def test_what_the_system_says_of_a_lock_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stands in the lock's way, but there is no room for it."""
    opened = os.open

    def full(path: Any, *options: Any, **more: Any) -> int:
        if path == "lock":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, *options, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left on device"):
        FolderLock(Path("x"))


def test_a_file_system_without_locks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    outcome = score(*words()[1:])
    assert "has no file locks" in outcome.err


@pytest.mark.parametrize("n", [1, 3])
def test_pieces_are_what_was_saved(tmp_path: Path, n: int) -> None:
    layout = ScoreLayout(24, 2, 4)
    numbers = {name: np.full((n, *rest), 7, kind) for name, (rest, kind) in layout.numbers.items()}
    region = Region("chr1", 1, 25, "a\tb\udc80", "+", 3)
    batch = PackedBatch([region] * n, {name: [b"abc", b""] for name in layout.wide}, numbers)
    pieces = Pieces(tmp_path)
    skipped = [Skipped(4, "x\udc80", 9, "has no scores")]
    pieces.save(7, batch, b"digest", "a job", skipped)
    assert Pieces(tmp_path).numbers >= {7}
    found = Pieces(tmp_path).load(7)
    assert (found.regions, dict(found.chunks)) == (batch.regions, dict(batch.chunks))
    assert all(np.array_equal(found.numbers[name], numbers[name]) for name in numbers)
    for name in numbers:  # whatever the strides
        assert torch.equal(torch.from_numpy(found.numbers[name]), torch.from_numpy(numbers[name]))
    head = pieces.summary(7)[0]
    assert (head.digest, head.job, head.skipped) == (b"digest", "a job", skipped)
    (tmp_path / "00000007.npz").write_bytes(b"x")
    with pytest.raises(DamagedPieceError):
        pieces.load(7)
    assert pieces.numbers == set()
    assert not (tmp_path / "00000007.npz").exists()


def test_a_signal_waits_for_the_batch_and_no_longer() -> None:
    """SIGUSR1, as a scheduler sends it before the time is up."""
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(2000)])
    start = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
    process = subprocess.Popen([*start, *words()], stderr=subprocess.PIPE, text=True)
    while not any(Path().glob(".*.pieces/*.npz")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(10)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 138
    finished = len(list(Path().glob(".*.pieces/*.npz")))
    assert f"{finished:,} finished batches are kept: the same command resumes from them\n" in err
    assert f"from {ROWS * finished:,} sequences" in score(*words()[1:]).out
