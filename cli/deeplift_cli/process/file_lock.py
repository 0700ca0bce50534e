"""A lock on an opened file; the system frees the lock when the process ends, even if it is killed."""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

# Error numbers of file systems that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


def lock(file: int) -> bool:
    """Lock an opened file at once.

    Parameters
    ----------
    file : int
        A file descriptor.

    Returns
    -------
    bool
        The value is False if the file system has no locks, so that nothing is held.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    OSError
        If the file cannot be locked for another reason.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def is_at(file: int, path: Path) -> bool:
    """Return whether an opened file is still at this path; another process may have removed the file."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def sign(file: int) -> None:
    """Write into the file of a lock which process holds the lock."""
    text = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    os.ftruncate(file, 0)
    os.pwrite(file, text.encode(), 0)


def holder(file: int) -> str:
    """Return what the process that holds the lock has written; "" if there is nothing."""
    return os.pread(file, 1000, 0).decode("utf-8", "replace")
