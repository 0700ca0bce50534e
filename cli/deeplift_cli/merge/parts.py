"""The content of a merged score file, and the check that all parts belong to one job."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.datasets import FOLD_SD, REFERENCE_CORRECTION, ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch
from deeplift_cli.outputs.score_reader import ScoreReader


@dataclass(frozen=True)
class Combined:
    """The content of the new file.

    Attributes
    ----------
    first : ScoreReader
        The part whose lengths of chromosomes the new file gets.
    layout : ScoreLayout
    attrs : dict
    batches : iterator of PackedBatch
    skipped_of : sequence of ScoreReader
        The parts whose skipped records are written beside the new file.
    """

    first: ScoreReader
    layout: ScoreLayout
    attrs: dict[str, Any]
    batches: Iterator[PackedBatch]
    skipped_of: Sequence[ScoreReader]

    @property
    def n_rows(self) -> int:
        """The number of rows of the new file."""
        return sum(part.n_rows for part in self.skipped_of)


def worst_of(parts: Sequence[ScoreReader]) -> float | None:
    """Return the largest relative error of summation-to-delta; None for in-silico mutagenesis."""
    errors = [part.worst for part in parts if part.worst is not None]
    return float(np.max(errors)) if errors else None


def check_same_job(
    first: ScoreReader, part: ScoreReader, otherwise: str, without: Container[str] = ()
) -> None:
    """Compare the fingerprints and layouts of two parts.

    Parameters
    ----------
    first, part : ScoreReader
    otherwise : str
        The verb phrase of the message about a difference, such as "is of another job than".
    without : container of str
        The entries of the fingerprint that may differ.

    Raises
    ------
    UserError
        If the parts differ; the message names all differences.
    """
    before, now = first.fingerprint, part.fingerprint
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in without]
    names += ["the target"] * (first.target != part.target)
    ours, theirs = first.layout, part.layout
    names += ["the lengths of the sequences"] * (ours.length != theirs.length)
    names += ["the numbers of references"] * (ours.n_references != theirs.n_references)
    names += ["the types of scores (--dtype)"] * (ours.dtype != theirs.dtype)
    names += ["the numbers of rows a batch (--batch-size)"] * (ours.batch_size != theirs.batch_size)
    # The spread of the folds is the model's, and corrections have a line of their own.
    errors = [layout.optional - {FOLD_SD, REFERENCE_CORRECTION} for layout in (ours, theirs)]
    names += ["the datasets of standard errors (--standard-errors)"] * (errors[0] != errors[1])
    corrections = [REFERENCE_CORRECTION in layout.optional for layout in (ours, theirs)]
    names += [REFERENCE_CORRECTION] * (corrections[0] != corrections[1])
    if names:
        raise UserError(f"{part.path} {otherwise} {first.path}: {', '.join(names)} differ")
