"""The effects of background variants, such as common ones of the population, in batches of the job."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from deeplift_cli.run.batches import SkippedRecords
from deeplift_cli.run.loop import Loop
from deeplift_cli.run.references import PreparedBatch
from deeplift_cli.sequences import Skipped
from deeplift_cli.threads.background import Background
from deeplift_cli.variants.pieces import VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.scoring import Array
from deeplift_cli.variants.source import PairBatch

# The batches of the background have numbers after those of the variants themselves.
_FIRST = 10**12


@dataclass(frozen=True)
class _Effects:
    """The effects of a batch for each target."""

    batch: PairBatch
    of_targets: list[Array]
    skipped: Sequence[Skipped] = field(default_factory=list)


class BackgroundLoop(Loop[_Effects]):
    """Computes the effects of the background variants.

    Parameters
    ----------
    plan : VariantPlan
    pieces : VariantPieces
        The finished batches of the job.

    Attributes
    ----------
    n_skipped : int
        Number of background variants that cannot be scored.
    """

    _of = " of the background"

    def __init__(self, plan: VariantPlan, pieces: VariantPieces) -> None:
        assert plan.background is not None
        numbers = pieces.finished
        super().__init__(plan.options.model, {number - _FIRST for number in numbers if number >= _FIRST})
        self._plan = plan
        self._pieces = pieces
        self._part = plan.background
        self._n_taken = 0
        self.n_skipped = 0

    def items(self) -> Generator[PreparedBatch | SkippedRecords, None, None]:
        """Read the background variants of this run."""
        layout = self._plan.layout
        for item in self._part.source.batches(layout.batch_size, layout.length, self._part.share):
            yield PreparedBatch(item, None, None) if isinstance(item, PairBatch) else item

    def _skip(self, records: SkippedRecords) -> None:
        self.n_skipped += len(records)

    def _n_done(self) -> int:
        return self._n_taken + (self.n_skipped if self._part.counts_skipped else 0)

    def _resume(self, item: PreparedBatch, background: Background) -> None:
        batch = item.batch
        with self._pieces.checked(_FIRST + batch.number, batch.digest.hex()):
            self._n_taken += len(batch.regions)

    def _scored(self, item: PreparedBatch) -> _Effects:
        batch = item.batch
        assert isinstance(batch, PairBatch)
        ref, *alts = [self._plan.scorer.outputs(letters) for letters in (batch.sequences, *batch.alts)]
        found = [np.mean([alt[target] for alt in alts], axis=0) - ref[target] for target in range(len(ref))]
        return _Effects(batch, found)

    def _leave_out(self, records: Sequence[Skipped]) -> None:
        """Do nothing: effects that are no numbers stay, and do not count later."""

    def _save(self, scored: _Effects) -> None:
        batch = replace(scored.batch, number=_FIRST + scored.batch.number)
        effects = {f"effects/{target}": effects for target, effects in enumerate(scored.of_targets)}
        self._pieces.save(batch.number, batch, batch, [], effects)

    def _count(self, scored: _Effects) -> None:
        self._n_taken += len(scored.batch.pairs)

    def effects(self) -> list[list[Array]]:
        """Return the effects for each target, batch by batch."""
        parts: list[list[Array]] = [[] for _ in self._plan.labels]
        first = _FIRST + self._part.share.start
        for number in range(first, first + self.n_batches):
            with self._pieces.open(number) as piece:
                for target, own in enumerate(parts):
                    own.append(piece[f"effects/{target}"])
        return parts
