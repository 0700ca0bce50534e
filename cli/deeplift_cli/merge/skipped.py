"""The table of skipped records of a merged file, made of the tables beside the parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.own_folder import SKIPPED
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.skipped import HEADING


class PartWithSkipped(Protocol):
    """A file with a table of skipped records beside it."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def n_skipped(self) -> int:
        """The number of records in the table."""


def skipped_of(path: Path) -> Path:
    """Return the table of skipped records beside a part."""
    return companions(path)[1]


def merged_skipped(parts: Sequence[PartWithSkipped], scratch: Path, out: Path) -> Path:
    """Merge the tables of skipped records beside the parts into one table.

    Parameters
    ----------
    parts : sequence of PartWithSkipped
    scratch : Path
        The folder for the table.
    out : Path
        The merged file, beside which the table will be, for messages.

    Raises
    ------
    UserError
        If a part's table cannot be read or belongs to another file, or the disc is full.
    """
    table = scratch / SKIPPED
    try:
        with table.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(HEADING)
            for part in parts:
                if part.n_skipped:
                    file.writelines(_skipped_lines(part))
    except OSError as error:
        raise not_written(skipped_of(out), error) from error
    return table


def _skipped_lines(part: PartWithSkipped) -> list[str]:
    path = skipped_of(part.path)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = list(file)
    except OSError as error:
        raise UserError(f"{path}, which belongs to {part.path}, cannot be read: {error.strerror}") from error
    if len(lines) != part.n_skipped + 1:
        raise UserError(f"{path} does not belong to {part.path}, which skipped {part.n_skipped}")
    return lines[1:]
