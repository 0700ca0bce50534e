"""Names of a model's classes or tracks, from the user's file or from the metadata of a model file."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.text import open_text, short_lines

_WHAT = "file of labels"
_LONGEST = 2**24  # characters; longer values in the metadata are not read
# Keys of metadata that hold such names; there is no standard, so that the first existing key counts.
_KEYS = ("labels", "class_names", "classes", "track_names", "tracks", "targets", "names", "id2label")


def read_labels(path: Path) -> tuple[str, ...]:
    """Read names from a file with one name in each line.

    Blanks around a name are ignored; an empty line stands for a class without a name.

    Raises
    ------
    UserError
        If the file cannot be read, holds no name, or a line has more than a million characters.
    """
    with open_text(path, _WHAT) as file:
        labels = [line.removeprefix("\ufeff").strip() for _, line in short_lines(file, f"{_WHAT} {path}")]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise UserError(f"{_WHAT} {path} holds no names; it needs one a line")
    return tuple(labels)


def labels_in_metadata(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in a model's metadata; empty if the metadata hold no readable names.

    The names are a list, or a mapping of indices to names, in JSON or Python's notation, or lines of text.

    Parameters
    ----------
    metadata : mapping of str to str
    """
    found = {key.lower(): value for key, value in metadata.items()}
    for key in _KEYS:
        if labels := _names_in(found.get(key, "")):
            return labels
    return ()


def _names_in(text: str) -> tuple[str, ...]:
    if len(text) > _LONGEST:
        return ()
    value = _literal(text)
    if isinstance(value, dict):
        try:
            by_index = {int(index): name for index, name in value.items()}
        except (TypeError, ValueError):
            return ()
        value = [by_index.get(index, "") for index in range(len(by_index))]
    if isinstance(value, list | tuple):
        return tuple(value) if all(isinstance(name, str) for name in value) else ()
    lines = [line.strip() for line in text.splitlines()]
    return tuple(lines) if len(lines) > 1 else ()


def _literal(text: str) -> Any:
    """Read JSON or a Python literal; None if the text is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None
