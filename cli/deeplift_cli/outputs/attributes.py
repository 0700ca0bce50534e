"""The attributes of a score file, as they are written and as they are read again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deeplift_cli.outputs.checksums import ATTRIBUTES_CHECKSUM, attributes_digest
from deeplift_cli.outputs.datasets import FORMAT, FORMAT_VERSION


class AttributeTypeError(ValueError):
    """An attribute is of a type that deeplift does not write; its text says which."""


def write_attributes(file: h5py.File, attrs: Mapping[str, Any]) -> None:
    """Write attributes, the format's own, and the checksum of them all.

    Parameters
    ----------
    file : h5py.File
    attrs : mapping of str to anything that JSON can hold
        Lists, mappings and None become JSON.
    """
    for key, value in {**attrs, "format": FORMAT, "format_version": FORMAT_VERSION}.items():
        file.attrs[key] = _stored(value)
    file.attrs[ATTRIBUTES_CHECKSUM] = attributes_digest(read_attributes(file))


def read_attributes(file: h5py.File) -> dict[str, str | bool | int | float]:
    """All attributes of a file, as they are stored.

    Raises
    ------
    AttributeTypeError
        If one is neither text nor a number.
    """
    return {key: _plain(key, value) for key, value in file.attrs.items()}


def _plain(key: str, value: Any) -> str | bool | int | float:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, str | bool | int | float):
        raise AttributeTypeError(f"attribute {key} is neither text nor a number")
    return plain


def _stored(value: Any) -> Any:
    """What HDF5 and h5dump show plainly stays as it is; the rest becomes JSON."""
    if isinstance(value, str | bool | int | float | np.generic):
        return value
    if isinstance(value, Path):
        return str(value)
    return json.dumps(value, default=_for_json)


def _for_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"an attribute holds a {type(value).__name__}, which JSON cannot")
