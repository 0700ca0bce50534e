"""The finished batches of one target: each is saved when it is scored; a score file is made of all."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.packed import PackedBatch, ScoredBatch, pack, wide_digests
from deeplift_cli.outputs.pieces import DamagedPieceError
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.outputs.state_files import PieceHead
from deeplift_cli.outputs.workspace import Workspace
from deeplift_cli.run.batches import Batch
from deeplift_cli.sequences import Skipped


class FinishedBatches:
    """Batches of one target, of this run and of earlier ones; a context manager.

    A batch is compressed on several threads, and is on the disc when `add` returns.

    Parameters
    ----------
    out : Path
        The score file that is made of the batches.
    workspace : Workspace
        The workspace, whose context has been entered.
    layout : ScoreLayout
    """

    def __init__(self, out: Path, workspace: Workspace, layout: ScoreLayout) -> None:
        self._out = out
        self._workspace = workspace
        self._pieces = workspace.pieces
        self._layout = layout
        # Digests of the batches that this run added, in order; a run that resumed cannot use these digests.
        self._digests, self._added = wide_digests(), list[int]()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._pool = stack.enter_context(compressing_threads())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        except OSError as failure:
            raise not_written(self._out, failure) from failure

    def usable(self) -> set[int]:
        """Return the numbers of the batches that earlier runs of the same job have finished.

        Batches that are damaged or belong to another job are left out, and are scored again.
        """
        return {number for number in sorted(self._pieces.numbers) if self._is_usable(number)}

    def _is_usable(self, number: int) -> bool:
        try:
            head, numbers = self._pieces.summary(number)
        except DamagedPieceError:
            return False
        return head.job == self._workspace.job_digest and self._fit(numbers)

    def _fit(self, numbers: Mapping[str, npt.NDArray[Any]]) -> bool:
        found = {name: (values.shape[1:], values.dtype) for name, values in numbers.items()}
        return found == self._layout.numbers

    def summary(self, batch: Batch) -> tuple[PieceHead, Mapping[str, npt.NDArray[Any]]]:
        """Return the head of a finished batch, and its small arrays.

        Raises
        ------
        UserError
            If the batch was computed from other sequences, or its piece has been damaged meanwhile.
        """
        try:
            head, numbers = self._pieces.summary(batch.number)
        except DamagedPieceError as error:
            raise _damaged(error) from error
        if head.digest != batch.digest:
            records = f"records {batch.regions[0].index + 1} to {batch.regions[-1].index + 1}"
            raise UserError(
                f"{self._workspace.folder} holds finished batches of other sequences: {records} have changed "
                "since; --no-resume starts over"
            )
        return head, numbers

    def add(self, number: int, digest: bytes, scores: ScoredBatch, skipped: Sequence[Skipped]) -> None:
        """Save a batch.

        Parameters
        ----------
        number : int
        digest : bytes
            The digest of all records of the batch.
        scores : ScoredBatch
        skipped : sequence of Skipped
            Records of the batch whose scores are not finite, and which are not among the scores.

        Raises
        ------
        UserError
            If the batch cannot be written.
        """
        self._added.append(number)
        try:
            packed = pack(scores, self._layout, self._pool, self._digests)
            self._pieces.save(number, packed, digest, self._workspace.job_digest, skipped)
        except OSError as error:
            raise not_written(self._out, error) from error

    def make_score_file(
        self,
        numbers: range,
        attrs: Mapping[str, Any],
        *,
        chrom_sizes: Mapping[str, int] | None,
        overwrite: bool,
        outputs: Sequence[Path],
        after_each: Callable[[], None],
    ) -> None:
        """Make the score file and its companion files of these batches and of `Workspace.skipped`.

        Parameters
        ----------
        numbers : range
        attrs : mapping
            Attributes of the file.
        chrom_sizes : mapping of str to int, or None
            Lengths of the chromosomes in bp, where they are known.
        overwrite : bool
        outputs : sequence of Path
            All files that the run is going to publish.
        after_each : callable
            Called after each batch.

        Raises
        ------
        UserError
            If a piece is damaged (its batch counts as not scored from then on), or the disc is full.
        """
        with ScoreFile(
            self._out,
            self._layout,
            skipped=self._workspace.skipped,
            attrs=attrs,
            chrom_sizes=chrom_sizes,
            overwrite=overwrite,
            scratch=self._workspace.folder,
            digests=self._digests if self._added == list(numbers) else None,
        ) as file:
            for number in numbers:
                piece = self._piece(number)
                if piece.regions:
                    file.append(piece)
                after_each()
            self._workspace.mark_complete(outputs)

    def _piece(self, number: int) -> PackedBatch:
        try:
            return self._pieces.load(number)
        except DamagedPieceError as error:
            raise _damaged(error) from error

    def drop(self, numbers: range) -> None:
        """Remove finished batches that hold no score at all."""
        for number in numbers:
            self._pieces.drop(number)


def _damaged(error: DamagedPieceError) -> UserError:
    return UserError(f"{error}: the same command scores that batch again and resumes")
