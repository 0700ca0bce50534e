"""The cache folder: files that appear in it whole or not at all, made by one process while others wait."""

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
from deeplift_cli.sequences.fasta import Note

_ASKED_EVERY = 0.2  # seconds


class CacheError(UserError):
    """The cache folder cannot be used; who can do without it may go on."""


def cache_folder() -> Path:
    """Folder for indexes and unpacked genomes.

    Returns
    -------
    Path
        $DEEPLIFT_CACHE, else $XDG_CACHE_HOME/deeplift, else ~/.cache/deeplift. It may not exist yet.

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
        # Cut by bytes: a file's name has at most 255 of them.
        self._family = f"{os.fsdecode(os.fsencode(real.name)[:80])}.{path_hash}."
        self._stem = f"{self._family}{state.st_size}-{state.st_mtime_ns}"
        self._folder = cache_folder()

    def path(self, suffix: str) -> Path:
        """Where the file with this suffix is or would be."""
        return self._folder / (self._stem + suffix)

    def has(self, *suffixes: str) -> bool:
        """Whether all these files are there.

        Raises
        ------
        UserError
            When one of them is a link, a folder or the like, which this program does not put there.
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
        """Within, no other process is in here for the same source; waits while one is.

        What a process left that was killed while it built an entry is removed. Where the file system has no
        locks every process goes on at once, and builds for itself.

        Parameters
        ----------
        note : callable
            Told in one line if it has to wait, and for whom.

        Raises
        ------
        CacheError
            When the cache folder cannot be written.
        Stopped
            When a signal comes while it waits.
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
        """Give temporary paths, of files to be made anew; afterwards rename them, in order, to their places.

        To be used within `lock`. Where there are no locks each process writes files of its own, and the last
        rename stands: all have the same content.

        Raises
        ------
        CacheError
            When the cache folder cannot be written.
        UserError
            When a place is taken by what is no file.
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
        """Remove files of this source whose names go on like this; nothing that is not named by this class.

        What another user made, in a shared folder, may have to stay.
        """
        name = re.compile(re.escape(self._family) + rest, re.ASCII)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(PermissionError):
                        Path(entry.path).unlink(missing_ok=True)


# What this program keeps: of a genome, and of an input (`input_index`).
_SUFFIX = r"(?:(?:\.fa)?(?:\.fai|\.gzi)?|\.[0-9a-f]{16}\.(?:facts|records))"


class _Lock:
    """A lock on a file, which ends with the process that holds it, however that ends.

    The file is removed when the lock is let go. What a killed process leaves of it locks nobody out.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    note : callable
        Told in one line if another process holds it.

    Attributes
    ----------
    works : bool
        False where the file system has no locks, so that nothing is held.

    Raises
    ------
    OSError
        If the file cannot be made; so where it is a link.
    """

    def __init__(self, path: Path, note: Note) -> None:
        self._path = path
        self._note: Note | None = note
        self.works = True
        while not self._take():
            check_stopped()

    def _take(self) -> bool:
        # A link would lead to a file that somebody else wants to be opened, or to be made.
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            signs = True
        except PermissionError:  # another user's, in a shared folder
            self._file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            signs = False
        try:
            self._wait()
            # The process that held it may have removed it, and a third one have made and locked another file.
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
        # Asking again and again, not waiting in the system: so a signal ends it wherever it is handled.
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
            self._note(f"{holder} is at {self._path.name.removesuffix('lock')}* in the cache: waiting for it")
            self._note = None

    def release(self) -> None:
        """Let others have it."""
        with suppress(PermissionError):
            self._path.unlink(missing_ok=True)
        os.close(self._file)


def _not_usable(place: Path, error: OSError) -> CacheError:
    reason = error.strerror or error
    place = place if error.filename is None else Path(os.fsdecode(error.filename))
    return CacheError(
        f"{place}, for the cache, cannot be used ({reason}); set DEEPLIFT_CACHE to another folder"
    )
