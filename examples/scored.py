"""Reads what the example's scripts work on: a file of scores and a BED file of planted motifs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray


class InputError(Exception):
    """A file that cannot be used; the message is one line for the user."""


class Planted(NamedTuple):
    """One line of a BED file: 0-based half-open position, the motif's name and its strand."""

    start: int
    end: int
    motif: str
    strand: str


@dataclass(frozen=True)
class Scores:
    """The rows of a scores.h5 that matter here.

    Attributes
    ----------
    one_hot : int8 array [N, 4, L]
        The scored sequences, all zero where there is no base.
    contributions : float array [N, L]
        Contribution of the observed base of each position.
    names, chroms : list of str, N each
    starts : int array [N]
        Where each window starts on its chromosome.
    """

    one_hot: NDArray[np.int8]
    contributions: NDArray[np.float64]
    names: list[str]
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
                one_hot=file["raw/seq"][:],
                # One channel per position is not zero: the sum is the observed base's contribution.
                contributions=file["projected_shap/seq"][:].astype(np.float64).sum(axis=1),
                names=_strings(file["regions/name"]),
                chroms=_strings(file["regions/chrom"]),
                starts=file["regions/start"][:].astype(np.int64),
            )
    except OSError as error:
        raise InputError(f"{path} is not a readable HDF5 file: {error}") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a file of scores as `deeplift score` writes: {error.args[0]}"
        ) from error
    return scores


def _strings(dataset: Any) -> list[str]:
    return [str(value) for value in dataset.asstr()[:]]


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
        planted.setdefault(fields[0], []).append(Planted(start, end, names[0], (fields[5:6] or ["."])[0]))
    if not planted:
        raise InputError(f"{path} holds no planted motifs")
    return planted
