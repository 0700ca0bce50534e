"""Batches with their references: everything about a batch that comes before the model."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deeplift_cli.batches import Batch, Records
from deeplift_cli.errors import UserError
from deeplift_cli.reference_kinds.saved import ReferenceFile
from deeplift_cli.sequences import Skipped
from deeplift_references import Reference

# Columns that are compared first: a shuffle that is equal to its sequence here is likely to be equal.
_COMPARED_FIRST = 64


@dataclass(frozen=True)
class Prepared:
    """A batch that is ready for the model.

    Attributes
    ----------
    batch : Batch
        N sequences.
    references : float32 array [N, R, 4, L], or [R, 4, L] where one set serves all
    identical : int array [N]
        How many references are equal to the sequence.
    """

    batch: Batch
    references: npt.NDArray[np.float32]
    identical: npt.NDArray[np.int64]


class Preparation:
    """Makes batches and their references.

    Parameters
    ----------
    records : Records
    reference : Reference
    saved : ReferenceFile, optional
        Gets the references.
    """

    def __init__(self, records: Records, reference: Reference, saved: ReferenceFile | None) -> None:
        self._records = records
        self._reference = reference
        self._saved = saved

    def batches(self, rows: int, skip: Callable[[Skipped], None]) -> Generator[Prepared, None, None]:
        """Go through the input, so many rows at a time; ``skip`` gets records that cannot be scored.

        Raises
        ------
        UserError
            If a record has no references.
        """
        for batch in self._records.batches(rows, skip):
            references = self._references(batch)
            identical = count_identical(references, batch.sequences)
            shared = self._reference.shared and bool(batch.sequences.any(axis=1).all())
            yield Prepared(batch, references[0] if shared else references, identical)

    def _references(self, batch: Batch) -> npt.NDArray[np.float32]:
        rows = np.array([region.index for region in batch.regions])
        try:
            references = self._reference(batch.sequences, rows)
        except ValueError as error:
            raise UserError(f"references: {error}") from error
        if self._saved is not None and self._reference.shared:
            self._saved.shared(self._reference.common(batch.sequences.shape[-1]))
        elif self._saved is not None:
            self._saved.append(references, batch.sequences)
        return references


def count_identical(
    references: npt.NDArray[np.float32], sequences: npt.NDArray[np.int8]
) -> npt.NDArray[np.int64]:
    """How many references [N, R, 4, L] of each sequence [N, 4, L] are equal to it: [N]."""
    first = slice(_COMPARED_FIRST)
    identical = (references[..., first] == sequences[:, None, :, first]).all(axis=(-1, -2))
    for row, reference in np.argwhere(identical):
        identical[row, reference] = np.array_equal(references[row, reference], sequences[row])
    counts: npt.NDArray[np.int64] = identical.sum(axis=1)
    return counts
