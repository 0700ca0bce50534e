"""The arrays of a score file by the names that they have in Python, and how their rows are read."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.datasets import NUMBERS, ScoreLayout
from deeplift_cli.outputs.score_reader import ScoreReader

_QUALITY = "qc/"
# The datasets of every file; other datasets that are as wide are named after their group.
_WIDE = {"raw/seq": "one_hot", "projected_shap/seq": "contributions", "shap/seq": "hypothetical"}


@dataclass(frozen=True)
class Variable:
    """One array of a score file.

    Attributes
    ----------
    dataset : str
        The name in the file.
    dims : tuple of str
        The names of the axes: "region" and then "reference", or "base" and "position".
    shape : tuple of int
        The sizes of these axes, the number of regions included.
    dtype : numpy dtype
    """

    dataset: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_quality(self) -> bool:
        """True for the datasets of `qc/`."""
        return self.dataset.startswith(_QUALITY)

    def read(self, reader: ScoreReader, file: h5py.File, rows: slice) -> npt.NDArray[Any]:
        """Return some rows.

        At each position only the observed base of `projected_shap/seq` has a contribution that is not 0, so
        that the sum over the bases is this contribution.
        """
        values = reader.read(file, self.dataset, rows)
        return values if values.ndim == len(self.shape) else values.sum(axis=1, dtype=values.dtype)


def variables(layout: ScoreLayout, n_rows: int) -> dict[str, Variable]:
    """Return the arrays of a file with this layout, by name."""
    found = {}
    for name, dtype in layout.wide.items():
        summed = name == "projected_shap/seq"
        dims: tuple[str, ...] = ("region", "position") if summed else ("region", "base", "position")
        shape = (n_rows, layout.length) if summed else (n_rows, 4, layout.length)
        found[_WIDE.get(name, name.removesuffix("/seq"))] = Variable(name, dims, shape, dtype)
    for name, (rest, dtype) in layout.numbers.items():
        axes = ("reference",) if name.startswith(_QUALITY) else ("base", "position")
        dims = ("region", *axes[len(axes) - len(rest) :])
        found[NUMBERS[name]] = Variable(name, dims, (n_rows, *rest), dtype)
    order = ("one_hot", "contributions", "hypothetical")
    return {name: found.pop(name) for name in order} | found
