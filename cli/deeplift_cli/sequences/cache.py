"""The cache folder: one process makes a file while others wait; a file appears whole or not at all."""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from deeplift_cli.errors import UserError
from deeplift_cli.process import file_lock
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.sequences.notes import Note

_ASKED_EVERY = 0.2  # seconds between two attempts to lock


class CacheError(UserError):
    """The cache folder cannot be used; callers that do not need the cache may continue."""


def cache_folder() -> Path:
    """Return the folder for indexes and unpacked genomes.

    Returns
    -------
    Path
        $DEEPLIFT_CACHE, else $XDG_CACHE_HOME/deeplift, else ~/.cache/deeplift. The folder may not exist yet.

    Raises
    ------
    CacheError
        If none of the three is known: HOME is not set, and the user has no name (as in many containers).
    """
    if own := os.environ.get("DEEPLIFT_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "deeplift"
    try:
        return Path.home() / ".cache" / "deeplift"
    except RuntimeError as error:
        raise CacheError(f"there is no folder for the cache ({error}); set DEEPLIFT_CACHE to one") from error


class CacheEntry:
    """The files in the cache that were made from one source file.

    Their names hold a hash of the source's real path, size and modification time, so that files made from an
    older state of the source are never found again.

    Parameters
    ----------
    source : Path
        The source file.
    """

    def __init__(self, source: Path) -> None:
        real = source.resolve()
        state = real.stat()
        path_hash = sha256(os.fsencode(real)).hexdigest()[:16]
        # The name is cut by bytes, since a file name has at most 255 bytes.
        self._family = f"{os.fsdecode(os.fsencode(real.name)[:80])}.{path_hash}."
        self._stem = f"{self._family}{state.st_size}-{state.st_mtime_ns}"
        self._folder = cache_folder()

    def path(self, suffix: str) -> Path:
        """Return the path of the file with this suffix, which may not exist."""
        return self._folder / (self._stem + suffix)

    def has(self, *suffixes: str) -> bool:
        """Return whether the files with all these suffixes exist.

        Raises
        ------
        UserError
            If one of these paths is a link, a folder or the like, which this program never makes there.
        """
        return all(self._is_file(suffix) for suffix in suffixes)

    def _is_file(self, suffix: str) -> bool:
        path = self.path(suffix)
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _not_usable(path, error) from error
        if not stat.S_ISREG(mode):
            raise UserError(
                f"cache entry {path} is not a file of its own but a link, a folder or the like; remove it, "
                "or set DEEPLIFT_CACHE to another folder"
            )
        return True

    @contextmanager
    def lock(self, note: Note) -> Iterator[None]:
        """Hold a lock on the entry, so that no other process builds files for the same source.

        The method waits while another process holds the lock. Unfinished files of a killed process are
        removed. If the file system has no locks, every process continues at once, and builds its own files.

        Parameters
        ----------
        note : callable
            Called with one line if this process has to wait; the line names the other process.

        Raises
        ------
        CacheError
            If the cache folder cannot be written.
        Stopped
            If a signal comes during the wait.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = _Lock(self._folder / f"{self._family}lock", note)
        except OSError as error:
            raise _not_usable(self._folder, error) from error
        try:
            if lock.works:
                self._remove(rf"part-[0-9a-f]{{12}}{_SUFFIX}")
            yield
        finally:
            lock.release()

    @contextmanager
    def build(self, *suffixes: str) -> Iterator[tuple[Path, ...]]:
        """Give temporary paths for new files, and rename the files to their final names on exit, in order.

        Call this method while holding `lock`. On a file system without locks each process writes files of its
        own, and the last rename counts: the files of all processes have the same content.

        Raises
        ------
        CacheError
            If the cache folder cannot be written.
        UserError
            If a final name belongs to something other than a file.
        """
        for suffix in suffixes:
            self._is_file(suffix)
        token = f"part-{uuid4().hex[:12]}"
        temporary = tuple(self._folder / f"{self._family}{token}{suffix}" for suffix in suffixes)
        try:
            yield temporary
            for path, suffix in zip(temporary, suffixes, strict=True):
                os.replace(path, self.path(suffix))
            self._remove(rf"(?!{re.escape(self._stem.removeprefix(self._family))}\.)\d+-\d+{_SUFFIX}")
        except OSError as error:
            raise _not_usable(self._folder, error) from error
        finally:
            for path in temporary:
                path.unlink(missing_ok=True)

    def _remove(self, rest: str) -> None:
        """Remove the files of this source whose names continue with `rest`, if this class gives such names.

        Files of other users, in a shared folder, may have to stay.
        """
        name = re.compile(re.escape(self._family) + rest, re.ASCII)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(PermissionError):
                        Path(entry.path).unlink(missing_ok=True)


# Suffixes of the files that this program makes: for a genome, and for an input (`input_index`).
_SUFFIX = r"(?:(?:\.fa)?(?:\.fai|\.gzi)?|\.[0-9a-f]{16}\.(?:facts|records))"


class _Lock:
    """A lock on a file; the system frees the lock when the process ends, even if the process is killed.

    The file is removed when the lock is freed. The file of a killed process locks no other process out.

    Parameters
    ----------
    path : Path
        The file, which is made if it does not exist.
    note : callable
        Called with one line if another process holds the lock.

    Attributes
    ----------
    works : bool
        The value is False if the file system has no locks, so that no lock is held.

    Raises
    ------
    OSError
        If the file cannot be made, or is a link.
    """

    def __init__(self, path: Path, note: Note) -> None:
        self._path = path
        self._note: Note | None = note
        self.works = True
        while not self._take():
            check_stopped()

    def _take(self) -> bool:
        # The call must not follow a link, by which somebody else could choose the file to open or make.
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            signs = True
        except PermissionError:  # the file belongs to another user, in a shared folder
            self._file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            signs = False
        try:
            self._wait()
            # The process that held the lock may have removed the file, and a third process may have made and
            # locked a new file.
            held = file_lock.is_at(self._file, self._path)
        except BaseException:
            os.close(self._file)
            raise
        if not held:
            os.close(self._file)
            return False
        if signs:
            file_lock.sign(self._file)
        return True

    def _wait(self) -> None:
        # The loop tries again and again instead of waiting in the system, so that a signal can end the wait.
        while True:
            try:
                self.works = file_lock.lock(self._file)
                return
            except BlockingIOError:
                self._say_waiting()
            check_stopped()
            time.sleep(_ASKED_EVERY)

    def _say_waiting(self) -> None:
        if self._note is not None:
            holder = file_lock.holder(self._file) or "another process"
            self._note(f"{holder} makes {self._path.name.removesuffix('lock')}* in the cache: waiting")
            self._note = None

    def release(self) -> None:
        """Remove the file and free the lock."""
        with suppress(PermissionError):
            self._path.unlink(missing_ok=True)
        os.close(self._file)


def _not_usable(place: Path, error: OSError) -> CacheError:
    reason = error.strerror or error
    place = place if error.filename is None else Path(os.fsdecode(error.filename))
    return CacheError(
        f"{place}, for the cache, cannot be used ({reason}); set DEEPLIFT_CACHE to another folder"
    )
