"""`background:FASTA`: references drawn from a set of background sequences, the same for all sequences."""

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import FastaSource, Record, one_hot
from deeplift_references import Settings, SharedReference, register


class Background(SharedReference):
    """A fixed set of references.

    Parameters
    ----------
    sequences : float32 array [R, 4, L]
        One-hot background sequences.
    """

    def __init__(self, sequences: npt.NDArray[np.float32]) -> None:
        self._sequences = sequences
        self.n_references = int(sequences.shape[0])

    def common(self, length: int) -> npt.NDArray[np.float32]:
        """Return the set [R, 4, L]; raise ValueError if its sequences have another length."""
        if length != self._sequences.shape[-1]:
            raise ValueError(f"the background is {self._sequences.shape[-1]} bp long, the sequences {length}")
        return self._sequences


@register(
    "background",
    help="sequences from a FASTA of the model's length",
    takes_argument=True,
    metavar="FASTA",
    takes_count=True,
)
def make_background(argument: str | None, settings: Settings) -> Background:
    """Draw at most `n_references` sequences with only the letters ACGT; the draw depends on the seed alone.

    Raises
    ------
    UserError
        If the file has no usable sequence of the model's length.
    """
    path = Path(argument or "")
    length = settings.context["length"]
    draw = random.Random(settings.seed)
    chosen: list[tuple[int, bytes]] = []
    usable = 0
    for record in FastaSource(path).records(length):
        if not isinstance(record, Record) or set(record.letters) - set(b"ACGT"):
            continue
        # Reservoir sampling keeps the memory independent of the file's size.
        usable += 1
        if len(chosen) < settings.n_references:
            chosen.append((record.region.index, record.letters))
        elif (place := draw.randrange(usable)) < settings.n_references:
            chosen[place] = (record.region.index, record.letters)
    if not chosen:
        raise UserError(f"background {path} has no sequence of {length} bp with only the letters ACGT")
    return Background(one_hot([letters for _, letters in sorted(chosen)]).astype(np.float32))
