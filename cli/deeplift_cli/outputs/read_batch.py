"""Some rows of a score file that were read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.sequences.records import Region


@dataclass(frozen=True)
class ReadBatch:
    """Some rows of a score file.

    Attributes
    ----------
    rows : slice
        The places of the rows in the file.
    regions : list of Region, [N]
    wide : dict of str to list of arrays [n, 4, L]
        Values of the wide datasets that were read, chunk by chunk.
    numbers : dict of str to array [N, ...]
    chunks : dict of str to list of bytes
        The compressed chunks of the wide datasets as stored.
    """

    rows: slice
    regions: list[Region]
    wide: dict[str, list[npt.NDArray[Any]]]
    numbers: dict[str, npt.NDArray[Any]]
    chunks: dict[str, list[bytes]]

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return the values [N, 4, L] of one wide dataset."""
        return np.concatenate(self.wide[name])
