"""How rare an effect is among the effects of background variants, such as common ones of the population."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.process.steps import step
from deeplift_cli.threads.prefetch import Prefetch
from deeplift_cli.variants.batch_loop import BATCHES_AHEAD
from deeplift_cli.variants.pieces import VariantPieces
from deeplift_cli.variants.plan import VariantPlan
from deeplift_cli.variants.source import PairBatch, VariantSource

Array = npt.NDArray[Any]

# The batches of the background have numbers after those of the variants themselves.
_FIRST = 10**12


class Background:
    """The effects of n background variants.

    Parameters
    ----------
    effects : iterable of array
        The effects, in parts; those that are no numbers do not count.
    """

    def __init__(self, effects: Iterable[Array]) -> None:
        found = np.abs(np.concatenate([np.zeros(0), *effects]))
        self._sizes = np.sort(found[np.isfinite(found)])

    @property
    def n_variants(self) -> int:
        """n."""
        return len(self._sizes)

    def p_values(self, effects: Array) -> npt.NDArray[np.float64]:
        """Return (r + 1) / (n + 1) for each effect, where r background effects are at least as large.

        Effects count without their sign. This is the empirical p-value of Davison and Hinkley (Bootstrap
        Methods and their Application, 1997, section 4.2), which is never 0: it is at least 1 / (n + 1).
        """
        smaller = np.searchsorted(self._sizes, np.abs(effects), side="left")
        found: npt.NDArray[np.float64] = (self.n_variants - smaller + 1) / (self.n_variants + 1)
        return found


class BackgroundLoop:
    """Computes the effects of the background variants, in batches of the same job.

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

    def __init__(self, plan: VariantPlan, pieces: VariantPieces) -> None:
        self._plan = plan
        self._pieces = pieces
        self._n_batches = 0
        self.n_skipped = 0

    def run(self, source: VariantSource, progress: Callable[[int], None]) -> None:
        """Compute all effects.

        Parameters
        ----------
        source : VariantSource
        progress : callable
            Called after each batch with the number of variants that need no more work.

        Raises
        ------
        UserError
            If a batch cannot be read, scored or saved.
        """
        layout = self._plan.layout
        done = 0
        with Prefetch(source.batches(layout.batch_size, layout.length), BATCHES_AHEAD) as items:
            for item in items:
                if isinstance(item, PairBatch):
                    self._take(item)
                    done += len(item.pairs)
                else:
                    self.n_skipped += len(item)
                    done += len(item)
                progress(done)
                check_stopped()

    def _take(self, batch: PairBatch) -> None:
        self._n_batches += 1
        number = _FIRST + batch.number
        if number in self._pieces.finished:
            with self._pieces.checked(number, batch.digest.hex()):
                return
        with step(f"scoring batch {batch.number + 1} of the background", self._plan.options.model):
            ref, *alts = [self._plan.scorer.outputs(letters) for letters in (batch.sequences, *batch.alts)]
        effects = {
            f"effects/{target}": np.mean([alt[target] for alt in alts], axis=0) - ref[target]
            for target in range(len(ref))
        }
        self._pieces.save(number, batch, batch, [], effects)

    def effects(self, path: Path) -> list[Background]:
        """Return the effects for each target.

        Raises
        ------
        UserError
            If no background variant has an effect; the message names the file at `path`.
        """
        parts: list[list[Array]] = [[] for _ in self._plan.labels]
        for number in range(_FIRST, _FIRST + self._n_batches):
            with self._pieces.open(number) as piece:
                for target, own in enumerate(parts):
                    own.append(piece[f"effects/{target}"])
        found = [Background(own) for own in parts]
        if not all(background.n_variants for background in found):
            raise UserError(f"none of the variants of --background {path} has an effect that is a number")
        return found
