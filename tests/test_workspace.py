"""The hidden folder of a run: only its own files are touched, no link is followed, odd state is refused."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_runs import MOMENTS
from score_files import datasets
from small_models import Outcome, deeplift, random_letters, torchscript, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import own_folder
from deeplift_cli.outputs.lock import FolderLock
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.state_files import (
    JobState,
    PieceHead,
    head_json,
    parse_complete,
    parse_head,
    parse_job,
)
from deeplift_cli.run import scoring_run
from deeplift_cli.run.batch_loop import BatchLoop
from deeplift_cli.sequences import Skipped
from deeplift_cli.threads.optional import WillingThreads

HIDDEN = Path(".a.h5.pieces")
RECORDS, ROWS = 11, 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(RECORDS)])
    return tmp_path


def scored(*options: object, out: str = "a.h5") -> Outcome:
    return deeplift("score", "-m", torchscript("Net"), "-f", "in.fa", "-o", out, "--n-references", 2,
                    "--batch-size", ROWS, "--compile", "off", *options)  # fmt: skip


def failing(owner: Any, name: str, error: BaseException, *options: object) -> Outcome:
    """A run in which one function fails."""

    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, fail)
        return scored(*options)


def hidden() -> list[str]:
    return [name for name in os.listdir() if name.startswith(".")]


# ---- links and files of others


@pytest.mark.parametrize("command", ["score", "merge"])
def test_a_link_in_the_folders_place_is_refused_and_not_followed(command: str) -> None:
    Path("precious").mkdir()
    for name in ("job.json", "00000001.npz", "skipped.tsv", "published", "thesis.tex"):
        Path("precious", name).write_text("mine")
    before = sorted((path.name, path.read_text()) for path in Path("precious").iterdir())
    if command == "score":
        HIDDEN.symlink_to("precious")
        outcome = scored()
    else:
        assert scored("--shard", "1/1", out="s.h5").code == 0
        Path(".a.h5.merge").symlink_to("precious")
        outcome = deeplift("merge", "s.h5", "-o", "a.h5")
    assert outcome.code == 1
    assert f".a.h5.{'pieces' if command == 'score' else 'merge'}" in outcome.err
    assert "remove it" in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted((path.name, path.read_text()) for path in Path("precious").iterdir()) == before
    assert not Path("a.h5").exists()


@pytest.mark.parametrize("target", ["nowhere", "in.fa"])
def test_a_dangling_link_and_a_file_are_refused(target: str) -> None:
    HIDDEN.symlink_to(target)
    outcome = scored()
    assert (outcome.code, outcome.err.count("is a symbolic link or a file")) == (1, 1)
    assert os.readlink(HIDDEN) == target
    HIDDEN.unlink()
    HIDDEN.write_text("mine")
    assert scored().code == 1
    assert HIDDEN.read_text() == "mine"


def test_a_link_for_what_is_gone_is_not_followed() -> None:
    Path("precious").mkdir()
    Path("precious/00000001.npz").write_text("mine")
    Path(".a.h5.gone").symlink_to("precious")
    assert scored().code == 0
    assert os.listdir("precious") == ["00000001.npz"]


@pytest.mark.parametrize("options", [(), ("--no-resume",)])
def test_files_of_others_stay(options: tuple[str, ...]) -> None:
    assert failing(MOMENTS["publication"][0], "mark_complete", OSError(28, "full")).code == 1
    names = ("thesis.tex", ".hidden", "notes.npz", "job.json.bak")
    for name in names:
        (HIDDEN / name).write_text("mine")
    (HIDDEN / "00000009.npz").mkdir()
    assert scored(*options).code == 0
    assert sorted(os.listdir(HIDDEN)) == sorted([*names, "00000009.npz"])
    assert all((HIDDEN / name).read_text() == "mine" for name in names)
    assert deeplift("merge", "--average", "a.h5", "a.h5", "-o", "b.h5").code in (0, 1)


def test_what_is_written_never_goes_through_a_link() -> None:
    """A link under the name of a file that is being written."""
    HIDDEN.mkdir()
    Path("mine").write_text("mine")
    for name in (
        "job.json",
        "job.json.part",
        "00000000.part",
        "unusable.tsv",
        "skipped.tsv",
        "complete.part",
    ):
        (HIDDEN / name).symlink_to("../mine")
    outcome = scored()
    assert outcome.code == 0, outcome.err
    assert Path("mine").read_text() == "mine"
    assert hidden() == []


def test_only_own_names_are_own(tmp_path: Path) -> None:
    own = ["lock", "job.json", "job.json.part", "complete", "published", "skipped.tsv", "00000012.npz",
           "123456789.part", ".a b.h5.0123abcd.part", ".a.bw.0123abcd.part.bw"]  # fmt: skip
    others = [
        "thesis",
        "job.json~",
        "0000001.npz",
        "x.npz",
        "a.h5.0123abcd.part",
        ".a.h5.0123abcg.part",
        ".nfs1",
    ]
    box = tmp_path / "box"
    box.mkdir()
    for name in own + others:
        (box / name).touch()
    assert own_folder.holds_others(box)
    own_folder.remove(box)
    assert sorted(os.listdir(box)) == sorted(others)
    for name in others:
        (box / name).unlink()
    own_folder.remove(box)
    assert not box.exists()


def test_a_folder_lock_needs_its_parent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderLock(tmp_path / "none" / "x")
    (tmp_path / "x").symlink_to(tmp_path)
    with pytest.raises(UserError, match="symbolic link"):
        FolderLock(tmp_path / "x")


# ---- what is finished stays


LATE: dict[str, tuple[Any, str, BaseException, str]] = {
    "disc full": (*MOMENTS["publication"], OSError(28, "No space left"), "the same command resumes"),
    "no thread": (*MOMENTS["publication"], RuntimeError("can't start new thread"), "same command resumes"),
    "interrupted": (*MOMENTS["assembly"], KeyboardInterrupt(), "the same command resumes"),
    "memory": (*MOMENTS["assembly"], MemoryError(), "resumes from them where more memory is free"),
    "an option": (*MOMENTS["assembly"], UserError("that is odd"), "this same command is likely to fail"),
    "a fault": (*MOMENTS["assembly"], KeyError("x"), "this same command is likely to fail"),
    "bigWig": (scoring_run, "_write_bigwigs", OSError(2, "No such file"), "the same command resumes"),
}  # fmt: skip


@pytest.mark.parametrize("how", LATE)
def test_a_failure_while_outputs_are_put_together_keeps_all(how: str) -> None:
    owner, name, error, said = LATE[how]
    bigwig: list[object] = []
    if how == "bigWig":
        write_fasta(
            Path("in.fa"), {f"chr1:{24 * i}-{24 * i + 24}": random_letters(i) for i in range(RECORDS)}
        )
        Path("sizes").write_text("chr1\t1000\n")
        bigwig = ["--bigwig", "a.bw", "-c", "sizes"]
    outcome = failing(owner, name, error, *bigwig)
    assert outcome.code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert "Traceback" not in outcome.err
    kept, line = outcome.err.splitlines()
    assert kept.startswith("deeplift: 3 finished batches are kept: ")
    assert said in kept
    assert line.startswith("deeplift: ")
    again = failing(BatchLoop, "_score", AssertionError("scored again"), *bigwig)
    assert again.code == 0, again.err
    assert f"resumed             from {RECORDS} sequences" in again.out
    assert hidden() == []


def test_outputs_are_put_together_without_a_single_new_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `ulimit -u`: compressing falls to the threads that there are."""
    assert scored(out="whole.h5").code == 0
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("deeplift-compressor"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert scored().code == 0
    assert datasets("a.h5") == datasets("whole.h5")


def test_without_a_reader_or_keeper_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outcome = scored()
    assert outcome.code == 1
    assert outcome.err.startswith("deeplift: no further thread can be started")
    assert outcome.err.count("\n") == 1
    assert hidden() == []


def test_willing_threads_raise_what_the_work_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    with WillingThreads(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
    with WillingThreads(1) as pool:
        monkeypatch.setattr(pool, "_adjust_thread_count", _refuse)
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 7, 0)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(divmod, 7, 2)


def _refuse() -> None:
    raise RuntimeError("can't start new thread")


def test_a_folder_that_is_gone_is_not_said_to_be_kept() -> None:
    """`rm -r` while the run is at it."""
    save = Pieces.save

    def gone(self: Pieces, number: int, *rest: Any) -> None:
        if number == 2:
            for path in HIDDEN.iterdir():
                path.unlink()
            HIDDEN.rmdir()
        save(self, number, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pieces, "save", gone)
        outcome = scored()
    assert (outcome.code, outcome.err) == (
        1,
        "deeplift: output a.h5 cannot be written: No such file or directory (.a.h5.pieces/00000002.part)\n",
    )  # fmt: skip


# ---- state files

STATE = JobState({"--seed": 0}, {"batch_size": 4, "compile": "off"}, {"the genome": "sha256:1"})
HEAD = PieceHead(
    b"\x01" * 32, "ab", [["chr1", -4, 20, "a\udc80", "+", 3]], {"raw/seq": [3]}, [Skipped(4, "b", 9, "why")]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, whole: Any) -> str:
    """A valid text in which one value, at any depth, is another or missing; or some text at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.text(max_size=30) | json_values.map(json.dumps))
    whole = json.loads(json.dumps(whole))
    place = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            place[key] = draw(json_values)
        else:
            del place[key]
        break
    text = json.dumps(whole)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 4)) == 0 else text


def check_job(text: str) -> None:
    state = parse_job(text)
    assert parse_job(state.to_json()) == state
    assert isinstance(state.decisions.get("batch_size", 1), int)
    assert state.decisions.get("compile", "on") in ("on", "off")


def check_complete(text: str) -> None:
    assert all(path.is_absolute() for path in parse_complete(text))


def check_head(text: str) -> None:
    head = parse_head(text.encode("utf-8", "surrogatepass"))
    assert parse_head(head_json(head)) == head
    assert all(isinstance(size, int) and size >= 0 for chunks in head.sizes.values() for size in chunks)
    assert all(isinstance(record, Skipped) for record in head.skipped)


PARSERS: dict[str, tuple[Callable[[str], None], Any]] = {
    "job.json": (check_job, json.loads(STATE.to_json())),
    "complete": (check_complete, ["/a/b.h5", "/a/b.bed"]),
    "head": (check_head, json.loads(head_json(HEAD))),
}


def fuzzed(name: str, examples: int) -> None:
    """Every text is parsed into what the type promises, or refused with ValueError."""
    check, whole = PARSERS[name]

    @settings(max_examples=examples, deadline=None, database=None)
    @given(damaged(whole))
    def test(text: str) -> None:
        try:
            check(text)
        except ValueError:
            return

    test()


@pytest.mark.parametrize("name", PARSERS)
def test_state_files_of_any_content_are_parsed_or_refused(name: str) -> None:
    PARSERS[name][0](json.dumps(PARSERS[name][1]))
    fuzzed(name, 100)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", PARSERS)
def test_state_files_of_any_content_for_longer(name: str) -> None:
    fuzzed(name, 5_000)


@pytest.mark.parametrize(
    "text", ["", "[", "null", "1" * 5000, "[" * 100_000, '{"job": {}}', "\x00", '{"a": 1e999}']
)
@pytest.mark.parametrize("name", PARSERS)
def test_odd_state_files_are_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever message
        PARSERS[name][0](text)


@pytest.mark.parametrize("text", ["{}", "null", "[1]", '["relative.h5"]', '["/a\\u0000b"]', "\udc80"])
def test_an_odd_list_of_outputs_is_dropped_with_a_note(text: str) -> None:
    assert failing(MOMENTS["publication"][0], "mark_complete", OSError(28, "full")).code == 1
    (HIDDEN / "complete").write_text(text, "utf-8", "surrogateescape")
    outcome = scored()
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("complete, the list of outputs that an earlier run had begun, is dropped") == 1
    assert f"resumed             from {RECORDS} sequences" in outcome.out


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_state_that_is_no_file_does_not_hang(kind: str) -> None:
    assert failing(MOMENTS["publication"][0], "mark_complete", OSError(28, "full")).code == 1
    job = HIDDEN / "job.json"
    job.unlink()
    if kind == "folder":
        job.mkdir()
    elif kind == "link":
        job.symlink_to("/dev/zero")
    else:
        os.mkfifo(job)
    outcome = scored()
    assert outcome.code == (1 if kind == "folder" else 0)
    assert "Traceback" not in outcome.err
    assert ("cannot be used (it is not a regular file)" in outcome.err) or kind == "folder"


def test_batches_of_another_job_beside_a_lost_description_are_scored_again() -> None:
    assert failing(MOMENTS["publication"][0], "mark_complete", OSError(28, "full")).code == 1
    (HIDDEN / "job.json").unlink()
    outcome = scored("--seed", 3)
    assert outcome.code == 0
    assert "resumed" not in outcome.out
    assert "it is missing" in outcome.err
    assert scored("--seed", 3, out="whole.h5").code == 0
    assert datasets("a.h5") == datasets("whole.h5")
