"""A target's finished batches: kept as they come, and put together in the end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from deeplift_cli.batches import Batch
from deeplift_cli.errors import UserError
from deeplift_cli.outputs import (
    PackedBatch,
    ScoredBatch,
    ScoreFile,
    ScoreLayout,
    Workspace,
    not_written,
    pack,
)
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.packed import wide_digests
from deeplift_cli.outputs.pieces import DamagedPieceError
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.sequences import Skipped


class Finished:
    """Batches of one target, of this run and of earlier ones; a context manager.

    A batch is compressed on several threads, and safe when `add` returns.

    Parameters
    ----------
    out : Path
        The score file that they become.
    workspace : Workspace
        Entered already.
    layout : ScoreLayout
    """

    def __init__(self, out: Path, workspace: Workspace, layout: ScoreLayout) -> None:
        self._out = out
        self._workspace = workspace
        self._pieces = workspace.pieces
        self._layout = layout
        # Of the batches that this run has added, one after the other; of no use where it went on from others.
        self._digests, self._added = wide_digests(), list[int]()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._skipped = stack.enter_context(SkippedFile(self._workspace.skipped))
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

    def skip(self, skipped: Skipped) -> None:
        """Add a line to the table of what was skipped."""
        self._skipped.append(skipped)

    def earlier(self, number: int, batch: Batch) -> Mapping[str, npt.NDArray[Any]] | None:
        """The small arrays of a batch that is finished already; None where it is not.

        Raises
        ------
        UserError
            If it was made from other sequences than these.
        """
        if number not in self._pieces.numbers:
            return None
        try:
            digest, numbers = self._pieces.summary(number)
        except DamagedPieceError:
            return None  # it is scored once more
        if digest != batch.digest:
            records = f"records {batch.regions[0].index + 1} to {batch.regions[-1].index + 1}"
            raise UserError(
                f"{self._workspace.folder} holds finished batches of other sequences: {records} have changed "
                "since; --no-resume starts over"
            )
        return numbers

    def add(self, number: int, batch: Batch, scores: ScoredBatch) -> None:
        """Keep a batch.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        self._added.append(number)
        try:
            packed = pack(scores, self._layout, self._pool, self._digests)
            self._pieces.save(number, packed, batch.digest)
        except OSError as error:
            raise not_written(self._out, error) from error

    def publish(
        self,
        numbers: range,
        attrs: Mapping[str, Any],
        overwrite: bool,
        outputs: Sequence[Path],
        step: Callable[[], None],
    ) -> None:
        """Make the score file and its companions of these batches.

        Parameters
        ----------
        numbers : range
        attrs : mapping
            Attributes of the file.
        overwrite : bool
        outputs : sequence of Path
            All that the run is going to publish.
        step : callable
            Called after each batch.

        Raises
        ------
        UserError
            If a piece is damaged (its batch counts as not done from then on), or the disc is full.
        """
        try:
            self._skipped.close()
        except OSError as error:
            raise not_written(self._out, error) from error
        with ScoreFile(
            self._out,
            self._layout,
            skipped=self._workspace.skipped,
            attrs=attrs,
            overwrite=overwrite,
            scratch=self._workspace.folder,
            digests=self._digests if self._added == list(numbers) else None,
        ) as file:
            for number in numbers:
                file.append(self._piece(number))
                step()
            self._workspace.mark_complete(outputs)

    def _piece(self, number: int) -> PackedBatch:
        try:
            return self._pieces.load(number)
        except DamagedPieceError as error:
            raise UserError(f"{error}: the same command scores that batch again and goes on") from error
