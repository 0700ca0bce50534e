"""The loop over the batches of a job: it scores a batch while other threads read and save its neighbours."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Generator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batches import SkippedRecords
from deeplift_cli.run.references import PreparedBatch
from deeplift_cli.run.skipped_tables import SkippedTables
from deeplift_cli.sequences import Skipped
from deeplift_cli.threads.background import Background
from deeplift_cli.threads.prefetch import Prefetch

# One batch is ready, and one is being prepared. With 20 references, a batch of 64 sequences of 2,114 bp takes
# 43 MB.
_BATCHES_AHEAD = 2
# Number of scored batches that wait to be saved, or are being saved, while the model scores the next one.
_BATCHES_BEHIND = 1


class Unsaved(Protocol):
    """A scored batch that is not saved yet."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Records of the batch that have no scores."""


Scored = TypeVar("Scored", bound=Unsaved)


class Loop(ABC, Generic[Scored]):
    """Takes the batches of a job one after the other: finished batches count, others are scored and saved.

    One thread reads batches before the loop needs them, and another saves a batch while the model scores the
    next one, so that a killed run loses the batch that the model was scoring and at most one batch before.

    Parameters
    ----------
    model : Path
        The model, for messages.
    finished : container of int
        The numbers of the batches that an earlier run has scored.

    Attributes
    ----------
    n_batches : int
        Number of batches that are scored, those of earlier runs included.
    """

    # What messages say of a batch after its number.
    _of = ""

    def __init__(self, model: Path, finished: Container[int]) -> None:
        self._model = model
        self._finished = finished
        self.n_batches = 0

    def run(
        self, items: Generator[PreparedBatch | SkippedRecords, None, None], progress: Callable[[int], None]
    ) -> None:
        """Take all batches; a signal waits until the current batch and those before are saved.

        Parameters
        ----------
        items : generator of PreparedBatch or list of Skipped
            In the order of the input; used on a thread of its own.
        progress : callable
            Called after each item with the number of records that need no more work.

        Raises
        ------
        UserError
            If a batch cannot be read, scored or saved.
        """
        with Prefetch(items, _BATCHES_AHEAD) as prefetched, Background(_BATCHES_BEHIND) as background:
            for item in prefetched:
                if not isinstance(item, PreparedBatch):
                    self._skip(item)
                elif item.batch.number in self._finished:
                    self._resume(item, background)
                    self.n_batches += 1
                else:
                    self._score(item, background)
                    self.n_batches += 1
                progress(self._n_done())
                check_stopped()

    def _score(self, item: PreparedBatch, background: Background) -> None:
        """Score a batch, and submit it to be saved."""
        with step(f"scoring batch {item.batch.number + 1}{self._of}", self._model):
            scored = self._scored(item)
        self._leave_out(scored.skipped)
        background.submit(self._save, scored)
        self._count(scored)

    @abstractmethod
    def _skip(self, records: SkippedRecords) -> None:
        """Take records that the reader cannot use."""

    @abstractmethod
    def _resume(self, item: PreparedBatch, background: Background) -> None:
        """Take a batch that an earlier run has scored."""

    @abstractmethod
    def _scored(self, item: PreparedBatch) -> Scored:
        """Return the scores of a batch; records without references or finite scores are left out."""

    @abstractmethod
    def _leave_out(self, records: Sequence[Skipped]) -> None:
        """Take records that have no scores."""

    @abstractmethod
    def _save(self, scored: Scored) -> None:
        """Save a scored batch; runs on the background thread."""

    @abstractmethod
    def _count(self, scored: Scored) -> None:
        """Add a scored batch to the counts of the run."""

    @abstractmethod
    def _n_done(self) -> int:
        """Return the number of records that need no more work."""


class ContributionLoop(Loop[Scored]):
    """A loop that lists the records without scores, and saves references if the user wants these.

    Parameters
    ----------
    model : Path
    finished : container of int
        The arguments of `Loop`.
    skipped : SkippedTables
        The tables of records that have no scores.
    saved : ReferenceFile or None
        The file for the references of each record, if they are to be saved.
    """

    def __init__(
        self, model: Path, finished: Container[int], skipped: SkippedTables, saved: ReferenceFile | None
    ) -> None:
        super().__init__(model, finished)
        self._skipped = skipped
        self._saved = saved

    def _skip(self, records: SkippedRecords) -> None:
        for record in records:
            self._skipped.add_unusable(record)

    def _leave_out(self, records: Sequence[Skipped]) -> None:
        for record in records:
            self._skipped.add_unscored(record)

    def _to_save(self, references: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """Return references that have to stay in memory until the batch is saved; None if there are none."""
        return None if self._saved is None or self._saved.is_shared else references

    def _save_again(self, item: PreparedBatch, skipped: Sequence[Skipped], background: Background) -> None:
        """Save the references of a batch that an earlier run has scored, but for records without scores."""
        if item.references is not None:
            kept = item.batch.rows_without(skipped)
            background.submit(self._save_references, item.references[kept], item.batch.sequences[kept])

    def _save_references(
        self, references: npt.NDArray[np.float32] | None, sequences: npt.NDArray[np.int8]
    ) -> None:
        """Write references to their file; runs on the background thread."""
        if self._saved is not None and references is not None:
            self._saved.append(references, sequences)
