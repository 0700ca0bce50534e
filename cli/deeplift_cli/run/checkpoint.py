"""The checkpoint: finished batches in folders beside the outputs, until score files are made of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from deeplift_cli.errors import OutOfMemoryError
from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.outputs.pieces import DamagedPieceError
from deeplift_cli.outputs.workspace import Workspace, begun_outputs
from deeplift_cli.process.failures import is_about_memory
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.run.batches import Batch
from deeplift_cli.run.finished_batches import FinishedBatches
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.sequences import Skipped

# The number of skipped records that the summary names.
SHOWN_REASONS = 3

Note = Callable[[str], None]


class State(Enum):
    """The states of a checkpoint, in the order in which a run enters them."""

    OPEN = "the folders are locked, and what the job is gets written down"
    RUNNING = "batches are added"
    COMPLETE = "the score files are made of the batches"
    PUBLISHED = "all outputs are where they belong"


@dataclass(frozen=True)
class FinishedBatch:
    """A batch that an earlier run has scored.

    Attributes
    ----------
    numbers : list of mappings of str to array [N - M, ...]
        The small datasets of each target's score file, such as qc/output, by name.
    skipped : list of Skipped, [M]
        Records whose scores were not finite, and which have no row.
    """

    numbers: Sequence[Mapping[str, npt.NDArray[Any]]]
    skipped: Sequence[Skipped]


class Checkpoint:
    """The finished batches of every target, of this run and of earlier ones; a context manager.

    On an exception the folders stay where they hold a finished batch, whatever the exception, and the next
    run of the same job resumes from them; on a clean exit they are removed.

    Parameters
    ----------
    scores : mapping of TargetSpec to Path
        The score file of each target.
    job : mapping of str to anything that JSON can hold
        The fingerprint of the job; a run resumes only from batches with an equal fingerprint.
    resume : bool
        True to resume from the finished batches in the folders; false to remove these batches.
    note : callable
        Called with lines that the user should read.

    Attributes
    ----------
    finished : frozenset of int
        The numbers of the batches that an earlier run has scored for every target; known from the state
        RUNNING on.
    skipped : SkippedTables
        The records without scores; available from the state RUNNING on.

    Raises
    ------
    UserError
        On entry: if another process writes an output, a symbolic link has a folder's name, or a folder
        belongs to another job.
    """

    def __init__(
        self, scores: Mapping[TargetSpec, Path], job: Mapping[str, Any], *, resume: bool, note: Note
    ) -> None:
        self._outs = dict(scores)
        self._spaces = {
            spec: Workspace(out, job, resume=resume, note=note) for spec, out in self._outs.items()
        }
        self._note = note
        self._state = State.OPEN
        self._stack = ExitStack()
        self._batches = dict[TargetSpec, FinishedBatches]()
        self.finished = frozenset[int]()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for space in self._spaces.values():
                stack.enter_context(space)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = min((space.kept() for space in self._spaces.values()), default=0)
        if error is not None and kept:
            self._note(f"{kept:,} finished batches are kept: {how_to_resume(error)}")
        self._stack.__exit__(kind, error, trace)

    # ---- while the checkpoint is open

    @property
    def decisions(self) -> Mapping[str, Any]:
        """The batch size and the choice to compile or not, as an earlier run chose them by itself."""
        return next(iter(self._spaces.values())).decisions

    def keep_decisions(self, **decisions: Any) -> None:
        """Save the choices that this run made by itself; a run that resumes makes the same choices."""
        self._require(State.OPEN)
        for space in self._spaces.values():
            space.keep_decisions(**decisions)

    def add_to_job(self, name: str, value: str) -> None:
        """Add to the job's fingerprint a value that becomes known after the folders are opened.

        Raises
        ------
        UserError
            If an earlier run of this job found another value.
        """
        self._require(State.OPEN)
        for space in self._spaces.values():
            space.add_to_job(name, value)

    def start(self, layout: ScoreLayout) -> None:
        """Accept batches from now on.

        Parameters
        ----------
        layout : ScoreLayout
            The layout of the score files.

        Raises
        ------
        UserError
            If the table of skipped records cannot be written.
        """
        self._enter(State.RUNNING)
        for spec, space in self._spaces.items():
            store = FinishedBatches(self._outs[spec], space, layout)
            self._batches[spec] = self._stack.enter_context(store)
        space = next(iter(self._spaces.values()))
        out = next(iter(self._outs.values()))
        self.skipped = self._stack.enter_context(
            SkippedTables(out, space.unusable, space.unscored, SHOWN_REASONS)
        )
        self.finished = frozenset(set.intersection(*(store.usable() for store in self._batches.values())))

    # ---- while the run is at work

    def finished_batch(self, batch: Batch) -> FinishedBatch:
        """Return the results that an earlier run saved for a batch of `finished`.

        Raises
        ------
        UserError
            If the results were computed from other sequences.
        """
        found = [store.summary(batch) for store in self._batches.values()]
        return FinishedBatch([numbers for _, numbers in found], found[0][0].skipped)

    def add(self, batch: Batch, scores: Sequence[ScoredBatch], skipped: Sequence[Skipped]) -> None:
        """Save a batch: its scores are on the disc when the method returns. Any thread may call the method.

        Parameters
        ----------
        batch : Batch
            All records of the batch.
        scores : sequence of ScoredBatch
            The scores for each target.
        skipped : sequence of Skipped
            Records of the batch whose scores are not finite, and which are not among the scores.

        Raises
        ------
        UserError
            If the batch cannot be written.
        """
        digest = batch.digest
        for store, stored in zip(self._batches.values(), scores, strict=True):
            store.add(batch.number, digest, stored, skipped)

    def make_score_files(
        self,
        numbers: range,
        attributes: Mapping[TargetSpec, Mapping[str, Any]],
        *,
        chrom_sizes: Mapping[str, int] | None,
        overwrite: bool,
        outputs: Sequence[Path],
    ) -> None:
        """Make the score files of these batches, and the tables beside the score files.

        Parameters
        ----------
        numbers : range
            The numbers of all batches of the run.
        attributes : mapping of TargetSpec to mapping
            Attributes of each file.
        chrom_sizes : mapping of str to int, or None
            Lengths of the chromosomes in bp, where they are known.
        overwrite : bool
            True if files that exist may be replaced.
        outputs : sequence of Path
            All files that the run is going to publish.

        Raises
        ------
        UserError
            If a saved batch is damaged (it counts as not scored from then on), or the disc is full.
        """
        self._enter(State.COMPLETE)
        self.skipped.close()
        for spec, store in self._batches.items():
            path = self._outs[spec]
            with step("writing", path):
                self.skipped.merge_into(self._spaces[spec].skipped)
                store.make_score_file(
                    numbers,
                    attributes[spec],
                    chrom_sizes=chrom_sizes,
                    overwrite=overwrite or path.absolute() in begun_outputs(path),
                    outputs=outputs,
                    after_each=check_stopped,
                )

    def drop(self, numbers: range) -> None:
        """Remove finished batches that hold no score at all."""
        self.skipped.close()
        for store in self._batches.values():
            store.drop(numbers)

    # ---- when the score files are complete

    def folder(self, spec: TargetSpec) -> Path:
        """Return the hidden folder beside a target's score file, for other unfinished files."""
        return self._spaces[spec].folder

    def mark_published(self) -> None:
        """Note that every output has its final name, so that the finished batches are no longer needed."""
        self._enter(State.PUBLISHED)
        next(iter(self._spaces.values())).mark_published()

    def _enter(self, state: State) -> None:
        states = list(State)
        self._require(states[states.index(state) - 1])
        self._state = state

    def _require(self, state: State) -> None:
        if self._state is not state:
            raise ValueError(f"the checkpoint is {self._state.name.lower()}, not {state.name.lower()}")


def how_to_resume(error: BaseException) -> str:
    """Return how to resume from the finished batches; the text promises nothing if the failure may recur."""
    if isinstance(error, OutOfMemoryError) or is_about_memory(error):
        return (
            "the same command resumes from them where more memory is free, while another --batch-size "
            "starts over"
        )
    passing = isinstance(error, OSError) or not isinstance(error, Exception) or "new thread" in str(error)
    if passing or isinstance(error.__cause__, OSError | DamagedPieceError):
        return "the same command resumes from them"
    return (
        "a run with the same model, input and options that change scores resumes from them, but this same "
        "command is likely to fail again"
    )
