"""A score file as an xarray dataset, whose arrays are read when their values are needed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from xarray import Dataset
from xarray import Variable as XarrayVariable
from xarray.backends import BackendArray
from xarray.core import indexing

from deeplift_cli.scores.variables import Variable
from deeplift_cli.sequences.records import Region

ReadRows = Callable[[slice], npt.NDArray[Any]]


class _StoredArray(BackendArray):
    """One array of a score file, of which xarray asks for parts.

    Parameters
    ----------
    read : callable
        Reads the rows of a slice.
    """

    def __init__(self, variable: Variable, read: ReadRows) -> None:
        self.shape = variable.shape
        self.dtype = variable.dtype
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._values
        )

    def _values(self, key: tuple[Any, ...]) -> Any:
        """Return the values at an index, a slice or an array of indices for each axis.

        Only rows that are wanted are read. The other axes are cut afterwards, because a chunk of the file
        holds whole rows.
        """
        wanted = np.arange(self.shape[0])[key[0]]
        rows, places = np.unique(wanted, return_inverse=True)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        parts = [self._read(slice(int(run[0]), int(run[-1]) + 1)) for run in runs if len(run)]
        values = np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)
        values = values[places.reshape(wanted.shape)]
        # The first axis is gone if one row was asked for.
        axis = wanted.ndim
        for one in key[1:]:
            values = values[(*(slice(None),) * axis, one)]
            axis += not isinstance(one, int | np.integer)
        return values


def as_dataset(
    variables: dict[str, Variable],
    regions: list[Region],
    read: Callable[[str], ReadRows],
    attrs: dict[str, Any],
) -> Dataset:
    """Return the dataset; no value of an array is read yet.

    Parameters
    ----------
    variables : dict of str to Variable
    regions : list of Region, [N]
        They become coordinates of the axis "region", whose labels are the regions' names.
    read : callable
        Takes the name of a variable, and returns the function that reads its rows.
    attrs : dict
        The attributes of the dataset.
    """
    arrays = {
        name: XarrayVariable(one.dims, indexing.LazilyIndexedArray(_StoredArray(one, read(name))))
        for name, one in variables.items()
    }
    length = variables["contributions"].shape[1]
    keys = ("chrom", "start", "end", "strand", "index")
    columns = {key: ("region", np.array([getattr(region, key) for region in regions])) for key in keys}
    coordinates = {
        "region": ("region", np.array([region.name for region in regions], dtype=object)),
        "base": ("base", list("ACGT")),
        "position": ("position", np.arange(length)),
    }
    return Dataset(arrays, {**coordinates, **columns}, attrs)
