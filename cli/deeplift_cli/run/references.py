"""References of a run: the reader's batches get references as the options say."""

from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

import deeplift_references
from deeplift_cli.errors import UserError
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.publish import Publication
from deeplift_cli.process.steps import step
from deeplift_cli.reference_kinds.reference_file import ReferenceFile
from deeplift_cli.run.batches import Batch, Records, SkippedRecords
from deeplift_references import NoReferencesError, Reference, SharedReference

# Rows of a batch in the first pass over the input, which runs no model.
OBSERVED_ROWS = 256
# Number of positions that are compared first: a shuffle that equals its sequence there is probably equal.
_COMPARED_FIRST = 64


@dataclass(frozen=True)
class PreparedBatch:
    """A batch that is ready for the model.

    Attributes
    ----------
    batch : Batch
        A batch of N sequences.
    references : float32 array [N, R, 4, L], or [R, 4, L] if all sequences have the same references, or None
        The value is None if an earlier run finished the batch and references are not saved.
    identical : int array [N], or None
        The number of references that equal each sequence; None if an earlier run finished the batch.
    expected : float32 array [N, 4, L], or None
        The expectation of each sequence's references, if it is to be a control variate.
    without : dict of int to str
        The reason why a row has no references, by row. Such a row gets itself as reference, and its scores
        are not stored.
    """

    batch: Batch
    references: npt.NDArray[np.float32] | None
    identical: npt.NDArray[np.int64] | None
    expected: npt.NDArray[np.float32] | None = None
    without: Mapping[int, str] = field(default_factory=dict)


def with_references(
    items: Iterable[Batch | SkippedRecords],
    reference: Reference,
    path: Path,
    *,
    finished: Container[int],
    saved: bool,
    expected: bool,
) -> Generator[PreparedBatch | SkippedRecords, None, None]:
    """Make the references of each batch; this generator runs on the reader's thread.

    Parameters
    ----------
    items : iterable of Batch or list of Skipped
    reference : Reference
    path : Path
        The records' file, for messages.
    finished : container of int
        The numbers of batches that an earlier run has scored.
    saved : bool
        True if the references of every sequence are saved, so that finished batches need references, too.
    expected : bool
        True if the expectation of the references is to be a control variate.

    Raises
    ------
    UserError
        If a record has no references.
    """
    with step("reading sequences", path):
        for item in items:
            if not isinstance(item, Batch):
                yield item
            elif item.number not in finished:
                references, without = _references(reference, item)
                identical = count_identical(references, item.sequences)
                with reference_errors():
                    expectation = reference.expected(item.sequences) if expected else None
                yield PreparedBatch(item, references, identical, expectation, without)
            elif saved and not reference.shared:
                yield PreparedBatch(item, _references(reference, item)[0], None)
            else:
                yield PreparedBatch(item, None, None)


def _references(reference: Reference, batch: Batch) -> tuple[npt.NDArray[np.float32], Mapping[int, str]]:
    """Return the references of a batch, and the reasons why some of its rows have none.

    The references are [N, R, 4, L], or [R, 4, L] if all sequences have the same references and none has an N.
    A row without references gets itself as reference, so that the batch keeps its rows.
    """
    records = np.array([region.index for region in batch.regions])
    with reference_errors():
        try:
            found = reference(batch.sequences, records)
        except NoReferencesError as error:
            kept = [row for row in range(len(records)) if row not in error.reasons]
            found = np.repeat(batch.sequences[:, None].astype(np.float32), reference.n_references, axis=1)
            if kept:
                found[kept] = reference(batch.sequences[kept], records[kept])
            return found, error.reasons
    one_for_all = reference.shared and bool(batch.sequences.any(axis=1).all())
    return found[0] if one_for_all else found, {}


class NoReferences(SharedReference):
    """What in-silico mutagenesis has in place of references: none for any sequence (R = 0)."""

    n_references = 0

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return an array of no references, [0, 4, L]."""
        return np.zeros((0, 4, length), np.float32)


@contextmanager
def reference_errors() -> Iterator[None]:
    """Turn errors of the references package into one line for the user.

    Raises
    ------
    UserError
        If the code in the block raises an error of the references package.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(f"references: {error}") from error


def make_reference(options: ScoreOptions, length: int) -> Reference:
    """Return the references that the options choose, for sequences of L bases, before a pass over the input.

    With in-silico mutagenesis these are `NoReferences`.

    Raises
    ------
    UserError
        If there are no such references, or their file cannot be used.
    """
    if options.reference is None:
        return NoReferences()
    with reference_errors():
        return deeplift_references.make(
            options.reference,
            n_references=options.n_references,
            seed=options.seed,
            frequencies=options.frequencies,
            length=length,
        )


def observed_reference(options: ScoreOptions, records: Records, length: int) -> Reference:
    """Return the chosen references, with the statistics of the whole input that some kinds need.

    The statistics come from the index of the input, or from a pass over the input, also if only a sample of
    the input is scored.

    Raises
    ------
    UserError
        As `make_reference`, or if the input cannot be read.
    """
    reference = make_reference(options, length)
    if reference.needs_observation:
        with reference_errors(), step("reading sequences", options.records):
            whole = records.whole
            counts = whole.base_counts()
            if counts is not None and reference.observe_counts(counts):
                return reference
            for item in whole.batches(OBSERVED_ROWS):
                if isinstance(item, Batch):
                    reference.observe(item.sequences)
    return reference


@contextmanager
def saved_references(
    path: Path | None, folder: Path, reference: Reference, length: int
) -> Iterator[ReferenceFile | None]:
    """Open the file for the references, if the user wants one; the file appears on a clean exit.

    Parameters
    ----------
    path : Path or None
    folder : Path
        The folder for the unfinished file.
    reference : Reference
        If all sequences have the same references, these are written at once.
    length : int
        The length of the sequences.
    """
    if path is None:
        yield None
        return
    with Publication(folder) as publication, ReferenceFile(publication.temporary(path), path) as saved:
        if reference.shared:
            saved.shared(reference.common(length))
        yield saved


def count_identical(
    references: npt.NDArray[np.float32], sequences: npt.NDArray[np.int8]
) -> npt.NDArray[np.int64]:
    """Count the references [N, R, 4, L] or [R, 4, L] that are equal to each sequence [N, 4, L]: [N]."""
    each = np.broadcast_to(references, (len(sequences), *references.shape[-3:]))
    first = slice(_COMPARED_FIRST)
    identical = (each[..., first] == sequences[:, None, :, first]).all(axis=(-1, -2))
    for row, place in np.argwhere(identical):
        identical[row, place] = np.array_equal(each[row, place], sequences[row])
    counts: npt.NDArray[np.int64] = identical.sum(axis=1)
    return counts
