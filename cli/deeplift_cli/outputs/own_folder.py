"""The program's hidden folders: only files with one of the program's names are removed from them.

Such a folder lies beside an output, where other people and programs write, too. A symbolic link of the same
name could lead anywhere, and a file of another name belongs to somebody else.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deeplift_cli.errors import UserError

LOCK = "lock"
JOB, COMPLETE, PUBLISHED = "job.json", "complete", "published"
# The table of skipped records, and the two tables from which it is made.
SKIPPED, UNUSABLE, UNSCORED = "skipped.tsv", "unusable.tsv", "unscored.tsv"
# Names of the files that stay until the folder is removed, of files that are still being written, of finished
# batches, and of the temporary files of a `Publication`.
_STATE = (
    rf"{LOCK}|{PUBLISHED}(\.part)?|{COMPLETE}(\.part)?|job\.json(\.part)?|(skipped|unusable|unscored)\.tsv"
)
_OWN = re.compile(
    rf"{_STATE}|\d{{8,}}\.(npz|part)|\..+\.[0-9a-f]{{8}}\.part(\.\w+)*",
    re.DOTALL,
)


def is_own(entry: os.DirEntry[str]) -> bool:
    """Return whether the entry is a file or a link with a name that the program gives to its files."""
    return _OWN.fullmatch(entry.name) is not None and not entry.is_dir(follow_symlinks=False)


def holds_others(folder: Path) -> bool:
    """Return whether a folder holds files that are not the program's own; False if there is no folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        return not all(map(is_own, entries))
    return False


def require_files(folder: Path) -> None:
    """Refuse a folder in which another folder has the name of a file that every run writes.

    Raises
    ------
    UserError
        If there is such a folder, which the program could neither remove nor replace later.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(_STATE, entry.name) and entry.is_dir(follow_symlinks=False):
                raise UserError(
                    f"{entry.path} is a folder, but its name is that of a file that deeplift keeps there; "
                    "remove it, or give the output another name"
                )


def remove_files(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
    """Remove the program's own files in a folder whose names pass `wanted`.

    The files that say which outputs were begun, and that all are published, are removed near the end: if the
    removal is interrupted, the next run finds these files and continues. The lock is removed last, because
    the folder may belong to another run from then on.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_own(entry) and wanted(entry.name)]
    last = {COMPLETE: 1, PUBLISHED: 2, LOCK: 3}
    for name in sorted(names, key=lambda name: last.get(name, 0)):
        (folder / name).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the program's own files in a folder, and the folder if it then is empty.

    A symbolic link stays. Files that cannot be removed stay, too, since no result depends on their removal.
    """
    if os.path.islink(folder):
        return
    with suppress(OSError):
        remove_files(folder)
        folder.rmdir()
