"""What a batch takes of memory at the least, worked out before it is taken.

The estimate has what is there at one moment for certain: the forward values that the backward pass reads, the
references, and what is scored for each of them. What operations need in passing comes on top: peaks were
measured at 2.1 to 6.7 times the estimate, of which some 130 MB are the same for any batch (example, 64 rows
with 20 references and 512 with 2: 6.7 and 4.2; a CNN of 200 bp, 1,024 rows with 2 references and 256 with 40:
2.7 and 2.1; a deeper one, 512 with 3: 4.1). Without those 130 MB they are 1.4 times at the least, so that no
batch which fits is refused at `_AT_LEAST`.
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

# Sequences longer than this are measured by shorter ones first.
LONG, SHORTER = 2**18, 2**13
# No known model keeps more for a base: 24,000 values. Below, nothing need be measured.
_MOST_PER_BASE = 100_000
# Contributions, hypothetical contributions and multipliers of a pair.
_SCORES_OF_A_PAIR = 3
# References of the batch that is scored, and their copy of exactly K rows.
_COPIES = 2
_AT_LEAST = 1.25
# Of what is free, for a batch size that is proposed: peaks are larger than the estimate.
_SAFE = 0.4


class Measured(Protocol):
    """A recording, of which this matters."""

    @property
    def bytes_per_row(self) -> int:
        """Size of the forward values that one row keeps, its reference's included."""


@dataclass(frozen=True)
class BatchMemory:
    """What one batch takes.

    Attributes
    ----------
    rows, length : int
        K sequences of L bases.
    references : int
        R for each sequence.
    values : int
        Bytes of the forward values of one row; those of the input alone where no more is known.
    a_reference : int
        Bytes that each row takes for each of its references.
    device : torch.device
    takes_count : bool
        Whether the user says how many references there are.
    """

    rows: int
    length: int
    references: int
    values: int
    a_reference: int
    device: torch.device
    takes_count: bool

    @classmethod
    def of(cls, options: ScoreOptions, length: int, rows: int, device: torch.device) -> "BatchMemory":
        """As far as the options tell, without the model."""
        kind, argument = deeplift_references.parse_spec(options.reference)
        takes_count = kind.takes_count and argument is None  # of a file there may be fewer than asked for
        one_hot = 4 * length * getattr(torch, options.precision).itemsize
        scores = _SCORES_OF_A_PAIR * len(options.targets)
        references = options.n_references if takes_count else 1
        return cls(rows, length, references, 2 * one_hot, (_COPIES + scores) * one_hot, device, takes_count)

    @classmethod
    def of_inspection(cls, length: int, rows: int, precision: str, device: torch.device) -> "BatchMemory":
        """Of a batch of random sequences that a model is tried with, without the model."""
        one_hot = 4 * length * getattr(torch, precision).itemsize
        return cls(rows, length, 1, 2 * one_hot, (_COPIES + _SCORES_OF_A_PAIR) * one_hot, device, False)

    def with_values(self, values: int) -> "BatchMemory":
        """The same, of a model whose forward values of one row take so many bytes."""
        return replace(self, values=values)

    @property
    def per_row(self) -> int:
        """Bytes of one row of the batch."""
        return self.values + self.references * self.a_reference

    @property
    def size(self) -> int:
        """Bytes of the batch, at the least."""
        return int(_AT_LEAST * self.rows * self.per_row)

    @property
    def may_be_too_large(self) -> bool:
        """Whether some model's values would not fit, so that this model's must be measured."""
        most = _MOST_PER_BASE * self.length + self.references * self.a_reference
        return self.rows * most > available_memory(self.device)

    def check(self, model: Path) -> None:
        """Refuse a batch that does not fit into what is free.

        Raises
        ------
        OutOfMemoryError
            With the estimate, and what to do.
        """
        available = available_memory(self.device)
        if self.size <= available:
            return
        batch = f"a batch of {self.rows:,} sequences" if self.rows > 1 else "one sequence"
        against = f" with {self.references:,} references each" if self.references > 1 else ""
        raise OutOfMemoryError(
            f"{model}: {batch} of {self.length:,} bp{against} takes at least "
            f"{in_words(self.size)} of memory, and {in_words(available)} are free; "
            f"give {self.remedy()}"
        )

    def remedy(self) -> str:
        """The option that helps most."""
        fitting = int(_SAFE * available_memory(self.device) / self.per_row)
        if self.rows > 1 and fitting >= 1:
            return f"--batch-size {min(fitting, self.rows - 1)} or less"
        if self.takes_count and self.references > 1 and self.references * self.a_reference > self.values:
            return "fewer --n-references"
        return "a smaller --batch-size" if self.rows > 1 else "shorter sequences"


def layout_for_long(
    options: ScoreOptions,
    model: ModelFile,
    length: int,
    device: torch.device,
    recorded: Callable[[Layout, int], Measured],
) -> Layout | None:
    """Find the layout for long sequences by short ones, and refuse those that are too long for the memory.

    To find a layout and a batch size, a model runs on several rows and on twice the length. With long
    sequences this is work for minutes and memory for many rows. Here the model is recorded on short sequences
    instead, and what they take is scaled by the length. That is too little where memory grows faster
    (attention), and never too much.

    Parameters
    ----------
    options : ScoreOptions
    model : ModelFile
    length : int
    device : torch.device
    recorded : callable
        Records the model for a layout and a length, on few rows.

    Returns
    -------
    Layout or None
        None where sequences are not long, or the model does not run on short ones.

    Raises
    ------
    UserError
        If they are too long, or if the model takes sequences of one other length only.
    """
    if length <= LONG:
        return None
    memory = BatchMemory.of(options, length, options.batch_size or 1, device)
    memory.check(options.model)
    try:
        layout, only = find_layout(model, layout=options.layout, alphabet=options.alphabet, length=SHORTER)
    except WrongLengthError as error:
        message = f"{options.model} does not take sequences of {length:,} bp; it takes {error.takes:,} bp"
        raise WrongLengthError(message, error.takes) from error
    except UserError:  # it may need longer sequences than those tried here
        return None
    if only is not None:
        return None
    values = recorded(layout, SHORTER).bytes_per_row * length // SHORTER
    memory.with_values(values).check(options.model)
    return layout
