"""The table of `deeplift check`, as its JSON holds it."""

import json
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError

_LARGEST = 1 << 20  # bytes; the table has some twenty lines


@dataclass(frozen=True)
class CheckTable:
    """What was measured on some sequences of the score file.

    Attributes
    ----------
    sequences : int
    rows : list of (str, str, str)
        What was measured, the value, and what is normal.
    """

    sequences: int
    rows: list[tuple[str, str, str]]


def read_check(path: Path) -> CheckTable:
    """Read what `deeplift check --json` printed.

    Raises
    ------
    UserError
        If the file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        found = json.loads(content) if len(content) <= _LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        sequences, rows = found.get("sequences"), found.get("table")
        if isinstance(sequences, int) and isinstance(rows, list) and all(map(_is_row, rows)):
            return CheckTable(sequences, [(row[0], row[1], row[2]) for row in rows])
    raise UserError(f"{path} is not what deeplift check --json prints")


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(isinstance(cell, str) for cell in row)
