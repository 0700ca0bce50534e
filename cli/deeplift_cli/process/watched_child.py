"""Work in a child process, for C libraries that may crash or never return.

HDF5 trusts the files that it reads: one changed bit in a file can cause a loop that only SIGKILL ends, or an
access to memory that does not belong to the process.
"""

import os
import pickle
import select
import signal
from collections.abc import Callable
from typing import NoReturn, TypeVar

from deeplift_cli.errors import UserError

T = TypeVar("T")

PATIENCE = 120.0  # seconds without a sign of life; to read one batch from a slow disc takes a few seconds
_ALIVE, _RESULT, _REFUSED = b"a", b"r", b"u"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class LostError(Exception):
    """The child crashed, or gave no sign of life for too long; the text of the error says which."""


def _nothing() -> None:
    """Do nothing at a sign of life."""


def watched(work: Callable[[Callable[[], None]], T], heard: Callable[[], None] = _nothing) -> T:
    """Do work in a child process, and return the result of the work, which must be possible to pickle.

    Parameters
    ----------
    work : callable
        Takes a function without arguments, which the work calls now and then as a sign of life.
    heard : callable, optional
        Called in this process after signs of life.

    Raises
    ------
    UserError
        If the work raises it.
    LostError
        If the child ends without a result, or gives no sign of life for `PATIENCE` seconds.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _work(work, reader, writer)
    os.close(writer)
    try:
        message = _listen(reader, heard)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reader)
        _, status = os.waitpid(child, 0)
    kind, content = message[:1], message[1:]
    if kind == _REFUSED:
        raise UserError(content.decode("utf-8", "surrogateescape"))
    if kind != _RESULT or status:
        code = os.waitstatus_to_exitcode(status)
        raise LostError(f"crashed ({signal.Signals(-code).name})" if code < 0 else "ended early")
    result: T = pickle.loads(content)
    return result


def _listen(reader: int, heard: Callable[[], None]) -> bytes:
    """Return the child's last message: all that it wrote to the pipe, but for the signs of life."""
    message = b""
    while True:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        if not ready:
            raise LostError(f"gave no sign of life for {PATIENCE:.0f} s")
        content = os.read(reader, 1 << 16)
        if not content:
            return message
        message = message + content if message else content.lstrip(_ALIVE)
        heard()


def _work(work: Callable[[Callable[[], None]], object], reader: int, writer: int) -> NoReturn:
    """Do the work in the child, which must run neither the parent's signal handlers nor its clean-up."""
    code = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.close(reader)
        with open(writer, "wb", buffering=0) as pipe:
            try:
                message = _RESULT + pickle.dumps(work(lambda: _say(pipe.write, _ALIVE)))
            except UserError as error:
                message = _REFUSED + str(error).encode("utf-8", "surrogateescape")
            _say(pipe.write, message)
        code = 0
    finally:
        os._exit(code)


def _say(write: Callable[[bytes], int | None], message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[write(bytes(view)) or 0 :]
