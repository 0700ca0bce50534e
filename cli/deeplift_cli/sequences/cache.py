"""The cache folder, and files that appear in it whole or not at all."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from deeplift_cli.errors import UserError


def cache_folder() -> Path:
    """Folder for indexes and unpacked genomes.

    Returns
    -------
    Path
        $DEEPLIFT_CACHE, else $XDG_CACHE_HOME/deeplift, else ~/.cache/deeplift. It may not exist yet.

    Raises
    ------
    UserError
        If none of the three is known: HOME is not set, and the user has no name (as in many containers).
    """
    if own := os.environ.get("DEEPLIFT_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "deeplift"
    try:
        return Path.home() / ".cache" / "deeplift"
    except RuntimeError as error:
        raise UserError(f"there is no folder for the cache ({error}); set DEEPLIFT_CACHE to one") from error


class CacheEntry:
    """Files in the cache that were made from one file.

    Their names hold a hash of the file's real path, its size and the time it was changed, so an entry made
    from an older state of the file is never found again.

    Parameters
    ----------
    source : Path
        The file that they are made from.
    """

    def __init__(self, source: Path) -> None:
        real = source.resolve()
        state = real.stat()
        path_hash = sha256(os.fsencode(real)).hexdigest()[:16]
        self._family = f"{real.name[:80]}.{path_hash}."
        self._source_changed = state.st_mtime_ns
        self._stem = f"{self._family}{state.st_size}-{state.st_mtime_ns}"

    def path(self, suffix: str) -> Path:
        """Where the file with this suffix is or would be."""
        return cache_folder() / (self._stem + suffix)

    @contextmanager
    def build(self, *suffixes: str) -> Iterator[tuple[Path, ...]]:
        """Give temporary paths to write to; afterwards rename them, in order, to where they belong.

        Processes that build the same entry at once each write files of their own, and the last rename
        stands: all have the same content.

        Raises
        ------
        UserError
            When the cache folder cannot be written.
        """
        folder = _writable_cache_folder()
        token = f".part-{uuid4().hex[:12]}"
        temporary = tuple(folder / f"{token}{suffix}" for suffix in suffixes)
        # Not older than the source, even where the source's clock runs ahead: readers compare the two.
        changed = max(time.time_ns(), self._source_changed)
        try:
            yield temporary
            for path, suffix in zip(temporary, suffixes, strict=True):
                os.utime(path, ns=(changed, changed))
                os.replace(path, self.path(suffix))
            self._remove_older()
        except OSError as error:
            raise _not_writable(folder, error) from error
        finally:
            for path in temporary:
                path.unlink(missing_ok=True)

    def _remove_older(self) -> None:
        for path in cache_folder().iterdir():
            if path.name.startswith(self._family) and not path.name.startswith(self._stem):
                path.unlink(missing_ok=True)


def _writable_cache_folder() -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


def _not_writable(folder: Path, error: OSError) -> UserError:
    reason = error.strerror or error
    return UserError(
        f"cache folder {folder} cannot be written ({reason}); set DEEPLIFT_CACHE to another folder"
    )
