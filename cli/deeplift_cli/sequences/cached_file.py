"""Files in the cache about an input, which are used only if they were made from the input as it is now."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.process.file_digest import file_digest
from deeplift_cli.sequences.cache import CacheEntry, CacheError
from deeplift_cli.sequences.notes import Note
from deeplift_cli.sequences.sealed_file import is_whole, read_head
from deeplift_cli.sequences.selection import Selection

_FORMAT = 2


class CachedFile:
    """A sealed file in the cache about an input.

    Parameters
    ----------
    records : Path
        FASTA or regions.
    genome : Path or None
    length : int or None
        The length of the sequences, if the file depends on the length.
    selection : Selection
    kind : str
        The end of the file's name.

    Raises
    ------
    OSError
        If a file of the input cannot be read.
    """

    def __init__(
        self, records: Path, genome: Path | None, length: int | None, selection: Selection, kind: str
    ) -> None:
        self._entry = CacheEntry(records)
        self._suffix = f".{_name(genome, length, selection)}.{kind}"
        self._identity: dict[str, Any] = {
            "format": _FORMAT,
            "version": deeplift_version(),
            "content": file_digest(records),
        }
        if genome is not None:
            state = genome.stat()
            self._identity["genome"] = [state.st_size, state.st_mtime_ns]

    @property
    def path(self) -> Path:
        """The path of the file, which may not exist."""
        return self._entry.path(self._suffix)

    def find_or_make(
        self, make: Callable[[Path, dict[str, Any]], None], note: Note
    ) -> tuple[dict[str, Any], bool]:
        """Return the head of the file, and whether this call made the file.

        Parameters
        ----------
        make : callable
            Takes a path and entries of the head, and writes a file with this head to the path.
        note : callable

        Raises
        ------
        CacheError
            If the file is missing and cannot be made, or is damaged.
        """
        head, is_new = self._find(), False
        if head is not None:
            return head, False
        with self._entry.lock(note):
            # Hundreds of processes may wait for the lock one after the other, so the checksum is checked
            # later.
            if not self._entry.has(self._suffix) or read_head(self.path, self._identity) is None:
                is_new = True
                with self._entry.build(self._suffix) as (path,):
                    make(path, self._identity)
        head = self._find()
        if head is None:
            raise CacheError(f"{self.path} is damaged right after it was written; check the disc")
        return head, is_new

    def _find(self) -> dict[str, Any] | None:
        """Return the head, if the file exists, was made from the input in its present state, and is whole."""
        if not self._entry.has(self._suffix):
            return None
        found = read_head(self.path, self._identity)
        if found is None:
            return None
        if not is_whole(self.path):
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            return None
        return found[0]


def _name(genome: Path | None, length: int | None, selection: Selection) -> str:
    """Return the part of the name that differs between the indexes of one file of records."""
    given = (None if genome is None else str(genome.resolve()), length, selection.identity)
    return sha256(repr(given).encode("utf-8", "surrogatepass")).hexdigest()[:16]
