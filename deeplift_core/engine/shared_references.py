"""Forward values of references that all sequences share, kept from one batch to the next."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.steps import Steps
from deeplift_core.graph import tensors_in

# Of all values together.
_MOST_BYTES = 2 << 30


@dataclass(eq=False)
class _Kept:
    steps: Steps
    rows: tuple[Tensor, ...]
    values: dict[int, Any]
    used: int

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in tensors_in(list(self.values.values())))


class SharedValues:
    """Values by reference; those that come round again in the same order are found at once.

    Two sets of references that take turns, one for each strand, are both kept.
    """

    def __init__(self) -> None:
        # The one whose use lies longest back is first. Never changed, only replaced: threads may share an
        # explainer, and at worst work out again what another has let go of.
        self._kept: list[_Kept] = []
        self._batches = 0

    def next_batch(self) -> None:
        """Begin another batch: what the one before did not use may be let go of."""
        self._batches += 1

    def at(self, steps: Steps, reference: list[Tensor]) -> dict[int, Any]:
        """Values at a reference [K, ...] whose rows are all the same, in a dict of the caller's own."""
        known = self._find(steps, tuple(tensor[:1] for tensor in reference))
        if known is not None:
            known.used = self._batches
            self._kept = [*(kept for kept in self._kept if kept is not known), known]
            return dict(known.values)
        # Copies: the values hold the reference itself, which is the caller's to change.
        copies = [tensor.clone() for tensor in reference]
        values = steps.forward(copies)
        self._keep(_Kept(steps, tuple(tensor[:1] for tensor in copies), values, self._batches))
        return dict(values)

    def _find(self, steps: Steps, rows: tuple[Tensor, ...]) -> _Kept | None:
        alike = (k for k in self._kept if k.steps is steps and all(map(torch.equal, k.rows, rows)))
        return next(alike, None)

    def _keep(self, new: _Kept) -> None:
        """As far as there is room, which no values have to make that this or the last batch used."""
        staying = list(self._kept)
        total = sum(kept.nbytes for kept in staying) + new.nbytes
        while total > _MOST_BYTES and staying and staying[0].used < self._batches - 1:
            total -= staying.pop(0).nbytes
        self._kept = [*staying, new] if total <= _MOST_BYTES else staying
