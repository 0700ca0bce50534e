"""Forward values of references that all sequences share, kept from one batch to the next."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deeplift_core.steps import Steps

# Of all values together.
_MOST_BYTES = 2 << 30


@dataclass
class _Kept:
    steps: Steps
    rows: tuple[Tensor, ...]
    values: dict[int, Any]
    used: int

    @property
    def nbytes(self) -> int:
        tensors = [t for v in self.values.values() for t in (v if isinstance(v, (tuple, list)) else (v,))]
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


class SharedValues:
    """Values by reference; those that come round again in the same order are found at once.

    Two sets of references that take turns, one for each strand, are both kept.
    """

    def __init__(self) -> None:
        self._kept: list[_Kept] = []  # the one whose use lies longest back is first
        self._batches = 0

    def next_batch(self) -> None:
        """Begin another batch: what the one before did not use may be let go of."""
        self._batches += 1

    def at(self, steps: Steps, reference: list[Tensor]) -> dict[int, Any]:
        """Values at a reference [K, ...] whose rows are all the same, in a dict of the caller's own."""
        rows = tuple(tensor[:1] for tensor in reference)
        for place, kept in enumerate(self._kept):
            if kept.steps is steps and all(map(torch.equal, kept.rows, rows)):
                self._kept.append(self._kept.pop(place))
                kept.used = self._batches
                return dict(kept.values)
        # Copies: the values hold the reference itself, which is the caller's to change.
        copies = [tensor.clone() for tensor in reference]
        values = steps.forward(copies)
        self._keep(_Kept(steps, tuple(tensor[:1] for tensor in copies), values, self._batches))
        return dict(values)

    def _keep(self, new: _Kept) -> None:
        """As far as there is room, which no values have to make that this or the last batch used."""
        total = sum(kept.nbytes for kept in self._kept) + new.nbytes
        while total > _MOST_BYTES and self._kept and self._kept[0].used < self._batches - 1:
            total -= self._kept.pop(0).nbytes
        if total <= _MOST_BYTES:
            self._kept.append(new)
