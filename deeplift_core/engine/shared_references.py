"""Forward values of references that all sequences share, cached from one batch to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from deeplift_core.engine.executable import Executable
from deeplift_core.graph import tensors_in

# The cache holds two references (one for each strand), or more if all together take no more than this.
_BYTES = 256 << 20
_REFERENCES = 2


@dataclass(frozen=True, eq=False)
class _Cached:
    executable: Executable
    rows: tuple[Tensor, ...]  # the first row of each input, by which the reference is recognised
    values: dict[int, Any]
    used: int  # number of the last batch that used the values

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in tensors_in(list(self.values.values())))


class SharedReferences:
    """A cache of the forward values of shared references, for all programs of one explainer.

    The cache is bounded: it holds the values of two references, or of more where these take no more than
    256 MiB together. Where there is no room for new values, those that the last two batches did not use are
    freed.
    """

    def __init__(self) -> None:
        # The list is replaced and never changed, so that threads may share the cache: a thread may compute
        # values again that another thread has just removed.
        self._cached: list[_Cached] = []
        self._batches = 0

    def next_batch(self) -> None:
        """Note that another batch begins."""
        self._batches += 1

    def values(self, executable: Executable, reference: list[Tensor]) -> dict[int, Any]:
        """Return the forward values at a reference.

        Parameters
        ----------
        executable : Executable
            Computes the values that are not in the cache.
        reference : list of Tensor [K, ...]
            All K rows of each tensor are the same.

        Returns
        -------
        dict of int to values
            A mapping that the caller may empty.
        """
        rows = tuple(tensor[:1] for tensor in reference)
        known = self._find(executable, rows)
        if known is None:
            # The values hold the reference itself, which the caller may change afterwards: hence the copy.
            copies = [tensor.clone() for tensor in reference]
            values = executable.forward(copies)
            known = _Cached(executable, tuple(tensor[:1] for tensor in copies), values, self._batches)
        self._keep(replace(known, used=self._batches), known)
        return dict(known.values)

    def _find(self, executable: Executable, rows: tuple[Tensor, ...]) -> _Cached | None:
        own = (cached for cached in self._cached if cached.executable is executable)
        return next((cached for cached in own if all(map(torch.equal, cached.rows, rows))), None)

    def _keep(self, new: _Cached, instead_of: _Cached) -> None:
        """Add values to the end of the list, as far as there is room."""
        cached = [item for item in self._cached if item is not instead_of]
        if not self._fits([*cached, new]):
            cached = [item for item in cached if item.used >= self._batches - 1]
        self._cached = [*cached, new] if self._fits([*cached, new]) else cached

    @staticmethod
    def _fits(cached: Sequence[_Cached]) -> bool:
        return len(cached) <= _REFERENCES or sum(item.nbytes for item in cached) <= _BYTES
