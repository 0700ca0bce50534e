"""The windows of the rows of a score file, from the columns of its group `regions`."""

from typing import Any

import h5py
import numpy.typing as npt

from deeplift_cli.outputs.datasets import REGION_KEYS, TEXTS
from deeplift_cli.sequences.records import Region


def read_regions(file: h5py.File, rows: slice) -> list[Region]:
    """Return the windows of some rows of a score file."""
    return regions_of({key: file[f"regions/{key}"][rows] for key in REGION_KEYS})


def regions_of(columns: dict[str, npt.NDArray[Any]]) -> list[Region]:
    """Return windows from the columns of `regions/`, in which texts are bytes, as HDF5 returns them."""
    plain = {
        key: [text.decode("utf-8", "surrogateescape") for text in values] if key in TEXTS else values.tolist()
        for key, values in columns.items()
    }
    ordered = (plain[key] for key in Region.__slots__)
    return [Region(*fields) for fields in zip(*ordered, strict=True)]
