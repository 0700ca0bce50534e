"""Writing and reading the attributes of a score file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deeplift_cli.outputs.checksums import ATTRIBUTES_CHECKSUM, attributes_digest
from deeplift_cli.outputs.datasets import FORMAT, FORMAT_VERSION


class AttributeTypeError(ValueError):
    """An attribute has a type that deeplift does not write; the text of the error names the attribute."""


def write_attributes(
    file: h5py.Group, attrs: Mapping[str, Any], format_name: str = FORMAT, version: int = FORMAT_VERSION
) -> None:
    """Write attributes, the name and version of the format, and the checksum of all attributes.

    Parameters
    ----------
    file : h5py.Group
        A file, or a group with the content of a score file.
    attrs : mapping of str to anything that JSON can hold
        Lists, mappings and None become JSON.
    format_name : str
    version : int
    """
    for key, value in {**attrs, "format": format_name, "format_version": version}.items():
        file.attrs[key] = _stored(value)
    file.attrs[ATTRIBUTES_CHECKSUM] = attributes_digest(read_attributes(file))


def read_attributes(file: h5py.Group) -> dict[str, str | bool | int | float]:
    """Return all attributes of a file, or a group, as they are stored.

    Raises
    ------
    AttributeTypeError
        If an attribute is neither text nor a number.
    """
    return {key: _plain(key, value) for key, value in file.attrs.items()}


def _plain(key: str, value: Any) -> str | bool | int | float:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, str | bool | int | float):
        raise AttributeTypeError(f"attribute {key} is neither text nor a number")
    return plain


def _stored(value: Any) -> Any:
    """Return a value that HDF5 can store: text and numbers unchanged, anything else as JSON."""
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


def plain_value(value: Any) -> Any:
    """Return the value of an attribute: lists, mappings and None from JSON, other values unchanged."""
    if not isinstance(value, str) or not value.startswith(("[", "{", "null")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
