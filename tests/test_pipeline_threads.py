"""Stages that overlap: order, errors, stop signals and memory at each of them; chunks written directly."""

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_models import LENGTH, Outcome, deeplift, random_letters, score, torchscript, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.models import explainer
from deeplift_cli.outputs import columns, packed, pieces
from deeplift_cli.process import signals
from deeplift_cli.run import references
from deeplift_cli.run.batches import Records
from deeplift_cli.run.references import count_identical
from deeplift_cli.threads.background import Background
from deeplift_cli.threads.prefetch import Prefetch

SEQUENCES, BATCH = 40, 4


@pytest.fixture(autouse=True)
def nothing_lingers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test runs in a folder of its own and ends with the threads that it began with."""
    monkeypatch.chdir(tmp_path)
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


# ---- a generator on a thread of its own


def numbers(until: int, made: list[int]) -> Generator[int, None, None]:
    try:
        for i in range(until):
            made.append(i)
            yield i
    finally:
        made.append(-1)


def test_items_come_in_order_from_another_thread() -> None:
    def names() -> Generator[tuple[int, str], None, None]:
        for i in range(100):
            yield i, threading.current_thread().name

    with Prefetch(names(), 3) as items:
        found = list(items)
    assert [i for i, _ in found] == list(range(100))
    assert {name for _, name in found} == {"deeplift-reader"}


@pytest.mark.parametrize("at_most", [1, 2, 5])
def test_no_more_is_made_ahead_than_allowed(at_most: int) -> None:
    made = list[int]()
    with Prefetch(numbers(30, made), at_most) as items:
        for taken in items:
            time.sleep(0.002)  # time enough to run further ahead
            assert len([i for i in made if i > taken]) <= at_most
    assert made == [*range(30), -1]


def test_an_error_comes_in_its_turn() -> None:
    def failing() -> Generator[int, None, None]:
        yield from range(5)
        raise UserError("the sixth is bad")

    taken = list[int]()

    def take() -> None:
        with Prefetch(failing(), 2) as items:
            for item in items:
                time.sleep(0.002)  # the error is there long before
                taken.append(item)

    with pytest.raises(UserError, match="the sixth is bad"):
        take()
    assert taken == list(range(5))


def test_leaving_early_ends_the_thread_and_closes_the_generator() -> None:
    made = list[int]()

    def leave() -> None:
        with Prefetch(numbers(10**9, made), 2) as items:
            for item in items:
                if item == 3:
                    raise KeyError(item)

    with pytest.raises(KeyError):
        leave()
    assert made[-1] == -1
    assert max(made) <= 3 + 2


def test_nothing_need_be_taken() -> None:
    made = list[int]()
    with Prefetch(numbers(10**9, made), 2):
        pass
    assert made[-1:] == [-1] or not made  # closed before it began, or after


# ---- work on a thread of its own


def test_work_is_done_in_order_on_another_thread() -> None:
    done = list[tuple[int, str]]()
    with Background(3) as background:
        for i in range(100):
            background.submit(lambda i: done.append((i, threading.current_thread().name)), i)
        background.wait()
        assert [i for i, _ in done] == list(range(100))
    assert {name.rpartition("_")[0] for _, name in done} == {"deeplift-keeper"}


@pytest.mark.parametrize("at_most", [1, 2, 5])
def test_no_more_waits_behind_than_allowed(at_most: int) -> None:
    waiting, most = [0], [0]

    def slow() -> None:
        time.sleep(0.002)
        most[0] = max(most[0], waiting[0])
        waiting[0] -= 1

    with Background(at_most) as background:
        for _ in range(30):
            background.submit(slow)
            waiting[0] += 1
    assert (waiting[0], most[0]) == (0, at_most)


@pytest.mark.parametrize("how", ["the next", "waiting", "leaving"])
def test_an_error_of_the_work_comes_up(how: str) -> None:
    def fail() -> None:
        raise UserError("no room")

    def run() -> None:
        with Background(1) as background:
            background.submit(fail)
            if how == "the next":
                background.submit(lambda: None)
                pytest.fail("went on")
            if how == "waiting":
                background.wait()
                pytest.fail("went on")

    with pytest.raises(UserError, match="no room"):
        run()


def test_what_was_handed_on_is_done_even_where_something_else_fails() -> None:
    done = list[int]()

    def slow(i: int) -> None:
        time.sleep(0.01)
        done.append(i)

    def leave() -> None:
        with Background(5) as background:
            for i in range(5):
                background.submit(slow, i)
            raise KeyError(5)

    with pytest.raises(KeyError, match="5"):
        leave()
    assert done == list(range(5))


# ---- columns


def stored(path: Path, name: str, parts: list[np.ndarray], rows_per_chunk: int, dtype: Any) -> None:
    rest = parts[0].shape[1:]
    with h5py.File(path, "w") as file, ThreadPoolExecutor(3) as pool:
        dataset = file.create_dataset(
            name, (0, *rest), dtype, maxshape=(None, *rest), chunks=(rows_per_chunk, *rest), **columns.FILTERS
        )
        column = columns.ArrayColumn(dataset, pool)
        for part in parts:
            column.append(part)
        column.finish()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("sizes", [[5], [4], [1] * 9, [3, 0, 8, 2, 11], [23]])
def test_chunks_are_what_h5py_itself_would_write(sizes: list[int], dtype: type[np.generic]) -> None:
    """Sizes of batches against chunks of four rows: in part, whole, several, and a last one in part."""
    rng = np.random.default_rng(len(sizes))
    parts = [rng.integers(-100, 100, (size, 3, 5)).astype(dtype) for size in sizes]
    stored(Path("ours.h5"), "x", parts, 4, dtype)
    whole = np.concatenate(parts)
    with h5py.File("theirs.h5", "w") as file:
        file.create_dataset("x", data=whole, maxshape=(None, 3, 5), chunks=(4, 3, 5), **columns.FILTERS)
    with h5py.File("ours.h5") as ours, h5py.File("theirs.h5") as theirs:
        assert ours["x"][:].tobytes() == whole.tobytes()
        assert (ours["x"].dtype, ours["x"].shape) == (theirs["x"].dtype, theirs["x"].shape)
        assert ours["x"].id.get_num_chunks() == theirs["x"].id.get_num_chunks()
        assert ours["x"].id.get_create_plist().get_nfilters() == 2


def test_what_fills_the_last_chunk_shows_nowhere() -> None:
    """A reader that makes the dataset longer finds zeros, as HDF5 itself leaves them."""
    stored(Path("a.h5"), "x", [np.ones((5, 2), np.float32)], 4, np.float32)
    with h5py.File("a.h5", "r+") as file:
        file["x"].resize(8, axis=0)
        np.testing.assert_array_equal(file["x"][:], np.repeat([1, 0], [10, 6]).reshape(8, 2))


def test_chunks_wait_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, most = [0], [0]
    original = columns.deflated

    def slow(chunk: np.ndarray) -> bytes:
        time.sleep(0.002)
        content = original(chunk)
        waiting[0] -= 1
        return content

    submit = columns.ArrayColumn._submit

    def counted(column: columns.ArrayColumn, *given: Any) -> None:
        waiting[0] += 1
        most[0] = max(most[0], waiting[0])
        submit(column, *given)

    monkeypatch.setattr(columns, "deflated", slow)
    monkeypatch.setattr(columns.ArrayColumn, "_submit", counted)
    stored(Path("a.h5"), "x", [np.ones((200, 2), np.float32)], 4, np.float32)
    assert most[0] <= columns._CHUNKS_AHEAD + 1


# ---- the whole job


def job(*options: object) -> Outcome:
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(SEQUENCES)])
    Path("results").mkdir(exist_ok=True)
    return deeplift(
        "score", "-q", "-m", torchscript("Net"), "-f", "in.fa", "-o", "results/a.h5", "--n-references", 2,
        "--batch-size", BATCH, *options,
    )  # fmt: skip


def test_rows_are_in_the_order_of_the_input() -> None:
    """Also where chunks and batches do not agree, and records are left out in between."""
    letters = {f"s{i}": random_letters(i, LENGTH - (i % 5 == 3)) for i in range(SEQUENCES)}
    write_fasta(Path("in.fa"), letters)
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", "--batch-size", BATCH)
    kept = [i for i in range(SEQUENCES) if i % 5 != 3]
    with h5py.File("a.h5") as file:
        assert file["regions/index"][:].tolist() == kept
        assert file["regions/name"].asstr()[:].tolist() == [f"s{i}" for i in kept]
    bed = Path("a.bed").read_text().splitlines()
    assert [line.split("\t")[3] for line in bed] == [f"s{i}" for i in kept]
    skipped = Path("a.skipped.tsv").read_text().splitlines()[1:]
    assert [int(line.split("\t")[0]) for line in skipped] == [i for i in range(SEQUENCES) if i % 5 == 3]


def fail_at(monkeypatch: pytest.MonkeyPatch, stage: str, act: Any) -> list[int]:
    """Let the third batch of a stage call ``act``; the list counts the batches that the stage began."""
    begun = list[int]()
    owner, name = {
        "reading": (Records, "_encoded"),
        "references": (references, "_references"),
        "model": (explainer.Explained, "score"),
        "writing": (pieces.Pieces, "save"),
        "compression": (packed, "deflated"),
    }[stage]
    original = getattr(owner, name)

    def acting(*arguments: Any) -> Any:
        begun.append(len(begun))
        if len(begun) == 3:
            act()
        return original(*arguments)

    monkeypatch.setattr(owner, name, acting)
    return begun


STAGES = ["reading", "references", "model", "writing", "compression"]


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_in_any_stage_is_told_and_stops_the_others(
    monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def act() -> None:
        raise UserError(f"no {stage} today")

    begun = fail_at(monkeypatch, stage, act)
    outcome = job("--save-references", "results/refs.h5")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"deeplift: no {stage} today\n"
    assert os.listdir("results") in ([], [".a.h5.pieces"])
    if stage != "compression":  # which has several things to compress for each batch
        assert len(begun) < SEQUENCES / BATCH


@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_signal_in_any_stage_ends_the_run_within_a_batch(
    monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """The signal arrives while that stage is at work, whichever thread that is."""
    monkeypatch.setattr(signals, "_received", None)
    handler = signal.signal(signal.SIGTERM, signals._stop)
    models = fail_at(monkeypatch, "model", lambda: None) if stage != "model" else None
    begun = fail_at(monkeypatch, stage, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        outcome = job("--save-references", "results/refs.h5")
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert outcome.code == 143
    assert outcome.err == "deeplift: stopped by SIGTERM\n"
    assert os.listdir("results") in ([], [".a.h5.pieces"])
    assert len(begun) < SEQUENCES
    if stage in ("reading", "references"):  # at the third batch, with two made before
        assert models is not None
        assert len(models) <= 3


def test_scores_do_not_depend_on_how_far_the_stages_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit: with a slow reader, and with a slow writer."""
    found = list[bytes]()
    for stage in ("references", "writing"):
        with monkeypatch.context() as context:
            owner, name = {
                "references": (references, "_references"),
                "writing": (pieces.Pieces, "save"),
            }[stage]
            original = getattr(owner, name)

            def slow(*arguments: Any, original: Any = original) -> Any:
                time.sleep(0.005)
                return original(*arguments)

            context.setattr(owner, name, slow)
            assert job("--overwrite").code == 0
        with h5py.File("results/a.h5") as file:
            found.append(b"".join(file[key][:].tobytes() for key in ("shap/seq", "raw/seq", "qc/output")))
    assert found[0] == found[1]


def test_identical_references_are_counted_whole() -> None:
    """Those equal in the columns that are compared first need not be equal."""
    rng = np.random.default_rng(0)
    sequences = np.eye(4, dtype=np.int8)[rng.integers(0, 4, (3, 100))].transpose(0, 2, 1)
    references = np.repeat(sequences[:, None], 4, axis=1).astype(np.float32)
    references[0, 1, :, 99] = np.roll(references[0, 1, :, 99], 1)
    references[1, :, :, 0] = np.roll(references[1, :, :, 0], 1, axis=1)
    assert count_identical(references, sequences).tolist() == [3, 0, 4]
