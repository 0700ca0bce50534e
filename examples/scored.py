"""Reads what the example's scripts work on: a file of scores and a BED file of planted motifs."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray


class InputError(Exception):
    """A file that cannot be used; the message is one line for the user."""


class Planted(NamedTuple):
    """One line of a BED file: 0-based half-open position, and the motif's name."""

    start: int
    end: int
    motif: str


@dataclass(frozen=True)
class Scores:
    """The rows of a scores.h5 that matter here.

    Attributes
    ----------
    contributions : float array [N, L]
        Contribution of the observed base of each position.
    chroms : list of str, N
    starts : int array [N]
        Where each window starts on its chromosome.
    """

    contributions: NDArray[np.float64]
    chroms: list[str]
    starts: NDArray[np.int64]

    def planted_in(self, row: int, planted: dict[str, list[Planted]]) -> list[Planted]:
        """Return the motifs that overlap the window of a row, in the window's own coordinates, cut to it."""
        start, length = int(self.starts[row]), self.contributions.shape[1]
        inside = []
        for motif in planted.get(self.chroms[row], []):
            first, last = max(motif.start - start, 0), min(motif.end - start, length)
            if first < last:
                inside.append(motif._replace(start=first, end=last))
        return inside


def read_scores(path: Path) -> Scores:
    """Read a scores.h5.

    Raises
    ------
    InputError
        The file is missing, is not HDF5, or lacks what a file of scores holds.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with h5py.File(path, "r") as file:
            scores = Scores(
                # One channel per position is not zero: the sum is the observed base's contribution.
                contributions=file["projected_shap/seq"][:].astype(np.float64).sum(axis=1),
                chroms=[str(value) for value in file["regions/chrom"].asstr()[:]],
                starts=file["regions/start"][:].astype(np.int64),
            )
    except OSError as error:
        raise InputError(f"{path} is not a readable HDF5 file: {error}") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a file of scores as `deeplift score` writes: {error.args[0]}"
        ) from error
    return scores


def read_planted(path: Path) -> dict[str, list[Planted]]:
    """Read a BED file of at least three columns as {chrom: planted motifs}.

    Raises
    ------
    InputError
        The file is missing or empty, or a line is no BED line (named by its number).
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    planted: dict[str, list[Planted]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        fields = line.split("\t")
        try:
            start, end = int(fields[1]), int(fields[2])
        except (IndexError, ValueError):
            start, end = 0, 0
        if not 0 <= start < end:
            raise InputError(f"{path}, line {number}: not a BED line with 0 <= start < end: {line!r}")
        names = fields[3:4] or ["motif"]
        planted.setdefault(fields[0], []).append(Planted(start, end, names[0]))
    if not planted:
        raise InputError(f"{path} holds no planted motifs")
    return planted
