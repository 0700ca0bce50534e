"""A lock on a folder, which ends with the process that holds it, however that ends."""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


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
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self.works = True
        while not self._take(folder):
            pass  # whoever held it has removed the folder in the meantime

    def _take(self, folder: Path) -> bool:
        folder.mkdir(exist_ok=True)
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            return False
        try:
            self._lock()
            held = os.path.samestat(os.fstat(self._file), os.stat(self._path))
        except FileNotFoundError:
            held = False
        except BaseException:
            os.close(self._file)
            raise
        if not held:
            os.close(self._file)
            return False
        self._sign()
        return True

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(os.pread(self._file, 1000, 0).decode("utf-8", "replace")) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self.works = False

    def _sign(self) -> None:
        text = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)
