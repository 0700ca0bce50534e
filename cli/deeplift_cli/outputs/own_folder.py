"""Hidden folders of the program's own: files in them with one of its own names are removed, and nothing else.

Such a folder lies beside an output, where other people and programs write, too. A symbolic link of the same
name could lead anywhere, and a file of another name is somebody else's.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deeplift_cli.errors import UserError

LOCK = "lock"
JOB, COMPLETE, PUBLISHED = "job.json", "complete", "published"
# The table of what was skipped, and the two that it is made of.
SKIPPED, UNUSABLE, UNSCORED = "skipped.tsv", "unusable.tsv", "unscored.tsv"
# Files that stay until the folder goes, what is being written under another name first, finished batches, and
# the temporary files of a `Publication`.
_STATE = (
    rf"{LOCK}|{PUBLISHED}(\.part)?|{COMPLETE}(\.part)?|job\.json(\.part)?|(skipped|unusable|unscored)\.tsv"
)
_OWN = re.compile(
    rf"{_STATE}|\d{{8,}}\.(npz|part)|\..+\.[0-9a-f]{{8}}\.part(\.\w+)*",
    re.DOTALL,
)


def is_own(entry: os.DirEntry[str]) -> bool:
    """Return whether the program gives files this entry's name, and the entry is a file or a link."""
    return _OWN.fullmatch(entry.name) is not None and not entry.is_dir(follow_symlinks=False)


def holds_others(folder: Path) -> bool:
    """Whether a folder holds anything that is not the program's own; False where there is no folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        return not all(map(is_own, entries))
    return False


def require_files(folder: Path) -> None:
    """Refuse a folder in which a folder stands in the place of a file that every run writes.

    Raises
    ------
    UserError
        Now, because it could be neither removed nor replaced later, when there is work to lose.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(_STATE, entry.name) and entry.is_dir(follow_symlinks=False):
                raise UserError(
                    f"{entry.path} is a folder, but its name is that of a file that deeplift keeps there; "
                    "remove it, or give the output another name"
                )


def remove_files(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
    """Remove the program's own files in a folder, those whose names are wanted.

    What says that outputs have begun, and that all are there, goes late: where this is cut short, the next
    run still finds it and continues. The lock goes last, because from then on the folder may be another
    run's.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_own(entry) and wanted(entry.name)]
    last = {COMPLETE: 1, PUBLISHED: 2, LOCK: 3}
    for name in sorted(names, key=lambda name: last.get(name, 0)):
        (folder / name).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the program's own files in a folder and the folder, which stays where it holds anything else.

    A symbolic link is left alone. What cannot be removed stays: this tidies up, and no result depends on it.
    """
    if os.path.islink(folder):
        return
    with suppress(OSError):
        remove_files(folder)
        folder.rmdir()
