"""A lock on a folder; the system frees the lock when the process ends, even if the process is killed."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.process import file_lock

# Error numbers of the system if a folder, a symbolic link or a socket has the name of the file.
_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO)


class LockedError(Exception):
    """Another process holds the lock; the text of the error says which process."""


class FolderLock:
    """A lock that is held from the construction of the object until `release`.

    Parameters
    ----------
    folder : Path
        The folder, which is made if it does not exist.

    Attributes
    ----------
    works : bool
        The value is False if the file system has no locks, so that no lock is held.

    Raises
    ------
    LockedError
        If another process holds the lock.
    UserError
        If the folder's name belongs to a symbolic link or a file (the program writes and removes files in the
        folder, and a link would lead to a folder of other people), or if the lock's name belongs to something
        other than a regular file.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self.works = True
        while not self._take(folder):
            pass  # the process that held the lock has removed the folder in the meantime

    def _take(self, folder: Path) -> bool:
        with suppress(FileExistsError):
            os.mkdir(folder)  # if the call fails with "no such file", a repetition does not help
        try:
            self._file = self._open_in(folder)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise self._in_the_way()
            self._lock()
            held = file_lock.is_at(self._file, self._path)
        except BaseException:
            os.close(self._file)
            raise
        if not held:
            os.close(self._file)
            return False
        try:
            file_lock.sign(self._file)
        except BaseException:
            self._withdraw(folder)
            raise
        return True

    def _open_in(self, folder: Path) -> int:
        """Open the lock's file in its folder; never follow a link that has the name of either."""
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise
        except OSError as error:
            if folder.is_symlink() or not folder.is_dir():
                raise UserError(
                    f"{folder} is a symbolic link or a file, and not the folder in which deeplift keeps what "
                    "is unfinished; remove it, or give the output another name"
                ) from error
            raise
        try:
            how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not block the call
            return os.open(self._path.name, how, 0o666, dir_fd=opened)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise self._in_the_way() from error
            raise
        finally:
            os.close(opened)

    def _in_the_way(self) -> UserError:
        return UserError(
            f"{self._path} is no regular file, and not the lock that deeplift makes; remove it, or give the "
            "output another name"
        )

    def _withdraw(self, folder: Path) -> None:
        """Remove the folder again if the disc is full, unless the folder holds files of an earlier run."""
        with suppress(OSError):
            if os.listdir(folder) == [self._path.name]:
                self._path.unlink()
                folder.rmdir()
        os.close(self._file)

    def _lock(self) -> None:
        try:
            self.works = file_lock.lock(self._file)
        except BlockingIOError as error:
            raise LockedError(file_lock.holder(self._file)) from error

    def release(self) -> None:
        """Free the lock."""
        os.close(self._file)
