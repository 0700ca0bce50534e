"""A lower bound of the memory that a batch takes, computed before the batch is made.

The estimate counts tensors that certainly exist at one moment: the forward values that the backward pass
reads, the references, and the scores for each reference. Temporary tensors of operations come on top: peaks
were measured at 2.1 to 6.7 times the estimate, of which some 130 MB are the same for any batch. The example
model took 6.7 times the estimate with 64 rows and 20 references, and 4.2 times with 512 and 2; a CNN of 200
bp took 2.7 times with 1,024 rows and 2 references, and 2.1 times with 256 and 40; a deeper CNN took 4.1 times
with 512 and 3. Without these 130 MB the peaks are at least 1.4 times the estimate, so that no batch which
fits is refused at `_AT_LEAST`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

import deeplift_references
from deeplift_cli.errors import OutOfMemoryError, UserError
from deeplift_cli.models import Layout, ModelFile, find_layout
from deeplift_cli.models.input_layout import WrongLengthError
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.memory import available_memory, in_words

# For sequences longer than this, the memory is first measured with shorter sequences.
LONG, SHORTER = 2**18, 2**13
# Bytes of forward values for a base, which no known model exceeds (24,000 values). A batch that fits with
# this number needs no measurement.
_MOST_PER_BASE = 100_000
# A pair has contributions, hypothetical contributions and multipliers.
_SCORES_OF_A_PAIR = 3
# The references of a batch, and their copy of exactly K rows.
_COPIES = 2
_AT_LEAST = 1.25
# The fraction of the free memory for a batch size that a message proposes: peaks exceed the estimate.
_SAFE = 0.4


class Measured(Protocol):
    """A recording, of which only the size of its values is needed."""

    @property
    def bytes_per_row(self) -> int:
        """Bytes of the forward values that one row and its reference keep."""


@dataclass(frozen=True)
class BatchMemory:
    """The memory that one batch takes.

    Attributes
    ----------
    rows, length : int
        K sequences of L bases.
    references : int
        R, the number of references for each sequence.
    values : int
        Bytes of the forward values of one row; only those of the input if the model is not recorded yet.
    a_reference : int
        Bytes that each row takes for each of its references.
    device : torch.device
    takes_count : bool
        True if the user chooses the number of references.
    others : int
        Bytes that other models are going to take, which are scored in turn with this one.
    """

    rows: int
    length: int
    references: int
    values: int
    a_reference: int
    device: torch.device
    takes_count: bool
    others: int = 0

    @classmethod
    def of(
        cls, options: ScoreOptions, length: int, rows: int, device: torch.device, others: int = 0
    ) -> "BatchMemory":
        """Return the memory of a batch as far as the options determine it, without the model."""
        takes_count = False
        if options.reference is not None:
            kind, argument = deeplift_references.parse_spec(options.reference)
            takes_count = kind.takes_count and argument is None  # a file may hold fewer references
        one_hot = 4 * length * getattr(torch, options.precision).itemsize
        scores = _SCORES_OF_A_PAIR * len(options.targets)
        references = options.n_references if takes_count else 1
        a_reference = (_COPIES + scores) * one_hot
        return cls(rows, length, references, 2 * one_hot, a_reference, device, takes_count, others)

    @classmethod
    def of_inspection(cls, length: int, rows: int, precision: str, device: torch.device) -> "BatchMemory":
        """Return the memory of a batch of random sequences in an inspection, without the model."""
        one_hot = 4 * length * getattr(torch, precision).itemsize
        return cls(rows, length, 1, 2 * one_hot, (_COPIES + _SCORES_OF_A_PAIR) * one_hot, device, False)

    def with_values(self, values: int) -> "BatchMemory":
        """Return the memory for a model whose forward values of one row take this number of bytes."""
        return replace(self, values=values)

    @property
    def per_row(self) -> int:
        """Bytes of one row of the batch."""
        return self.values + self.references * self.a_reference

    @property
    def size(self) -> int:
        """A lower bound of the bytes of the batch, and of the other models."""
        return int(_AT_LEAST * self.rows * self.per_row) + self.others

    @property
    def may_be_too_large(self) -> bool:
        """Return whether the values of some model would not fit, so that this model must be measured."""
        most = _MOST_PER_BASE * self.length + self.references * self.a_reference
        return self.rows * most + self.others > available_memory(self.device)

    def check(self, model: Path, records: Path | None = None) -> None:
        """Refuse a batch that does not fit into the free memory.

        Parameters
        ----------
        model : Path
        records : Path, optional
            The file from which the sequences come.

        Raises
        ------
        OutOfMemoryError
            If the batch does not fit, with the estimate and what to do.
        """
        available = available_memory(self.device)
        if self.size <= available:
            return
        batch = f"a batch of {self.rows:,} sequences" if self.rows > 1 else "one sequence"
        against = f" with {self.references:,} references each" if self.references > 1 else ""
        origin = f" (as in {records})" if records is not None else ""
        beside = f", beside the further models of {in_words(self.others)}," if self.others else ""
        raise OutOfMemoryError(
            f"{model}: {batch} of {self.length:,} bp{origin}{against}{beside} takes at least "
            f"{in_words(self.size)} of memory, and {in_words(available)} are free; "
            f"give {self.remedy()}"
        )

    def remedy(self) -> str:
        """Return the change of options that saves most memory."""
        free = max(0, available_memory(self.device) - self.others)
        fitting = int(_SAFE * free / self.per_row)
        if self.rows > 1 and fitting >= 1:
            return f"--batch-size {min(fitting, self.rows - 1)} or less"
        if self.others > self.rows * self.per_row:
            return "each model to a run of its own, and average the runs by deeplift merge --average"
        if self.takes_count and self.references > 1 and self.references * self.a_reference > self.values:
            return "fewer --n-references"
        return "a smaller --batch-size" if self.rows > 1 else "shorter sequences"


def layout_for_long(
    options: ScoreOptions,
    model: ModelFile,
    length: int,
    device: torch.device,
    recorded: Callable[[Layout, int], Measured],
    others: int = 0,
) -> Layout | None:
    """Find the layout for long sequences with short ones, and refuse sequences too long for the memory.

    To find a layout and a batch size, a model runs on several rows and on twice the length. With long
    sequences this takes minutes, and memory for many rows. This function records the model on short sequences
    instead, and scales their memory by the length. The result is too small if memory grows faster than the
    length (attention), and never too large.

    Parameters
    ----------
    options : ScoreOptions
    model : ModelFile
    length : int
    device : torch.device
    recorded : callable
        Records the model for a layout and a length, on few rows.
    others : int
        Bytes of memory that other models are going to take.

    Returns
    -------
    Layout or None
        The value is None if the sequences are not long, or the model does not run on short ones.

    Raises
    ------
    UserError
        If the sequences are too long, or the model takes only sequences of another length.
    """
    if length <= LONG:
        return None
    memory = BatchMemory.of(options, length, options.batch_size or 1, device, others)
    memory.check(options.model, options.records)
    try:
        layout, only = find_layout(model, length=SHORTER, **options.layout_options)
    except WrongLengthError as error:
        message = (
            f"{options.model} does not take sequences of {length:,} bp; it takes {error.takes:,} bp: give "
            f"--length {error.takes}"
        )
        raise WrongLengthError(message, error.takes) from error
    except UserError:  # the model may need longer sequences than these
        return None
    if only is not None:
        return None
    values = recorded(layout, SHORTER).bytes_per_row * length // SHORTER
    memory.with_values(values).check(options.model, options.records)
    return layout
