"""A lock on a folder, which ends with the process that holds it, however that ends."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.process import file_lock

# What the system answers where a folder, a symbolic link or a socket stands in a file's place.
_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO)


class LockedError(Exception):
    """Another process holds the lock; its text says which."""


class FolderLock:
    """Held from its making until `release`.

    Parameters
    ----------
    folder : Path
        Made where it is not there.

    Attributes
    ----------
    works : bool
        False where the file system has no locks, so that nothing is held.

    Raises
    ------
    LockedError
        If another process holds it.
    UserError
        If a symbolic link or a file stands in the folder's place: the folder is the program's own, and files
        in it are written and removed, which a link would lead elsewhere. Or if something else than a file
        stands in the lock's place.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self.works = True
        while not self._take(folder):
            pass  # whoever held it has removed the folder in the meantime

    def _take(self, folder: Path) -> bool:
        with suppress(FileExistsError):
            os.mkdir(folder)  # where it fails with "no such file", no repetition helps
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
        """Open the lock's file in its folder, without following a link in the place of either."""
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
            how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe may not keep it waiting
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
        """Leave nothing behind where the disc is full, unless an earlier run left something to resume."""
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
        """Let others have it."""
        os.close(self._file)
