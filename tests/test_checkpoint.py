"""The checkpoint of a run: its states come in one order, and batches of another job do not count."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_outputs_score_file import LENGTH, REFERENCES, make_batch

from deeplift_cli.errors import UserError
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.run.batches import Batch
from deeplift_cli.run.checkpoint import Checkpoint, State

(SPEC,) = parse_targets("0")
LAYOUT = ScoreLayout(LENGTH, REFERENCES, 4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def checkpoint(**job: str) -> Checkpoint:
    return Checkpoint({SPEC: Path("a.h5")}, job, resume=True, note=lambda _: None)


def batch(number: int, moved: int = 0) -> Batch:
    """A batch of four records, of which one base may be another."""
    scored = make_batch(4, number)
    sequences = np.roll(scored.sequences, moved, axis=1)
    return Batch(number, scored.regions, sequences, np.zeros(4, bool), [1, 2, 3, 4])


def fill(job: Checkpoint, *numbers: int) -> None:
    for number in numbers:
        job.add(batch(number), [make_batch(4, number)], [])


class StoppedError(Exception):
    """Stands for whatever ends a run."""


def stopped(work: Callable[[Checkpoint], None], **job: str) -> None:
    """A run that is ended after some work, so that its folder stays."""

    def whole() -> None:
        with checkpoint(**job) as run:
            work(run)
            raise StoppedError

    with pytest.raises(StoppedError):
        whole()


def started(run: Checkpoint, layout: ScoreLayout = LAYOUT, compiled: str = "off") -> Checkpoint:
    run.keep_decisions(batch_size=4, compile=compiled)
    run.start(layout)
    return run


def begun(**job: str) -> None:
    """A run that was ended after two batches."""
    stopped(lambda run: fill(started(run), 0, 1), **job)


def test_states_come_in_one_order() -> None:
    with checkpoint() as run:
        with pytest.raises(ValueError, match="is open, not running"):
            run.make_score_files(range(1), {SPEC: {}}, chrom_sizes=None, overwrite=False, outputs=[])
        run.start(LAYOUT)
        for change in (lambda: run.start(LAYOUT), lambda: run.add_to_job("the genome", "sha256:1")):
            with pytest.raises(ValueError, match="is running, not open"):
                change()
        with pytest.raises(ValueError, match="is running, not complete"):
            run.mark_published()
        fill(run, 0)
        run.make_score_files(range(1), {SPEC: {}}, chrom_sizes=None, overwrite=False, outputs=[])
        run.mark_published()
    assert [state.name for state in State] == ["OPEN", "RUNNING", "COMPLETE", "PUBLISHED"]
    assert sorted(path.name for path in Path().iterdir()) == ["a.bed", "a.h5", "a.skipped.tsv"]


def test_finished_batches_are_those_of_the_same_job() -> None:
    begun(seed="1")
    with checkpoint(seed="1") as run:
        assert run.decisions == {"batch_size": 4, "compile": "off"}
        run.keep_decisions(**run.decisions)
        run.start(LAYOUT)
        assert run.finished == {0, 1}
        assert [len(numbers["qc/output"]) for numbers in run.finished_batch(batch(1)).numbers] == [4]
    begun(seed="1")
    with pytest.raises(UserError, match="seed was 1, now 2"), checkpoint(seed="2"):
        pass


def test_batches_that_fit_no_longer_are_scored_again() -> None:
    """They have another layout, or a choice was made otherwise."""

    def none_is_finished(run: Checkpoint) -> None:
        assert run.finished == set()

    begun()
    other = ScoreLayout(LENGTH, REFERENCES, 4, "float32", frozenset({"qc/rescored"}))
    stopped(lambda run: none_is_finished(started(run, other)))
    stopped(lambda run: none_is_finished(started(run, compiled="on")))


def test_a_finished_batch_of_other_sequences_is_refused() -> None:
    begun()

    def resume(run: Checkpoint) -> None:
        started(run)
        with pytest.raises(UserError, match=r"other sequences: records \d+ to \d+ have changed"):
            run.finished_batch(batch(0, moved=1))

    stopped(resume)
