"""The quality of several score files as one table, tab-separated."""

import json
from collections.abc import Sequence
from typing import Any

from deeplift_cli.process.terminal_text import printable
from deeplift_cli.sequences.names import printed
from deeplift_cli.show.contents import Contents

COLUMNS = (
    "sample", "target", "sequences", "skipped", "worst_relative_completeness_error",
    "references_equal_to_their_sequence", "file",
)  # fmt: skip
_NONE = "-"  # in a column that does not apply: in-silico mutagenesis has no references


def as_table(files: Sequence[Contents]) -> list[str]:
    """Return the heading and a line for each file; the sample of a file is the name of its folder."""
    return ["\t".join(COLUMNS), *("\t".join(_cells(contents)) for contents in files)]


def target_text(target: Any) -> str:
    """Return the target in an attribute as file names hold it: "3", or "50-1" for (50, 1)."""
    try:
        index = json.loads(target) if isinstance(target, str) else target
    except ValueError:
        return str(target)
    return "-".join(map(str, index)) if isinstance(index, list) else str(index)


def _cells(contents: Contents) -> list[str]:
    reader = contents.reader
    cells = [
        reader.path.absolute().parent.name,
        target_text(reader.target),
        str(reader.n_rows),
        str(reader.n_skipped),
        _NONE if reader.worst is None else f"{reader.worst:.2g}",
        _NONE if contents.identical is None else f"{contents.identical:.2%}",
        str(reader.path),
    ]
    return [*map(printed, cells[:-1]), printable(cells[-1])]
