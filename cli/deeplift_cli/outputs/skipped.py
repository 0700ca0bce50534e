"""The table of skipped records, with the reason for each."""

from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.sequences.records import Skipped

HEADING = "index\tline\tname\treason\n"


class SkippedFile:
    """Writes a heading and one line per skipped record; a context manager.

    Columns: `index` (0-based record number), `line` (1-based), `name`, `reason`.

    Parameters
    ----------
    path : Path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._file.write(HEADING)

    def append(self, skipped: Skipped) -> None:
        """Write one record."""
        name, reason = one_column(skipped.name), one_column(skipped.reason)
        self._file.write(f"{skipped.index}\t{skipped.line}\t{name}\t{reason}\n")

    def close(self) -> None:
        """Close the file; no record can be added any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
