"""Stopping on a signal: an exception unwinds the program, which removes all unfinished files."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from deeplift_cli.process.signal_deadline import end_if_unanswered

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Stopped(BaseException):
    """A signal asked the program to stop.

    Parameters
    ----------
    number : signal.Signals
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that a shell reports: 130 for SIGINT, 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + self.number


# The exception, and with it the frames of its traceback, are kept until the process ends: the frames may hold
# half-made objects of a C library, which would report errors if the objects were destroyed.
_received: Stopped | None = None
_deferred = 0
_handled = 0  # the number of signals


def stop_on_signals() -> None:
    """Raise `Stopped` in the main thread when a signal comes; ignored signals (nohup) stay ignored.

    If the main thread does not react within some seconds, because a model's compiled code does not return,
    the process ends.
    """
    # Nothing may come between the handlers and the caller's own code, which catches `Stopped`.
    end_if_unanswered(lambda: _handled, _SIGNALS)
    sys.unraisablehook = _say_unraisable
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def check_stopped() -> None:
    """Raise `Stopped` again if a signal came and a library swallowed the exception.

    Raises
    ------
    Stopped
    """
    if _received is not None:
        raise _received


@contextmanager
def deferred() -> Iterator[None]:
    """Delay signals until the next `check_stopped` or `interruptible`.

    The delay protects steps with files that must not be interrupted: to open and register a file, or to
    complete and rename a file.
    """
    with _deferring(+1):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals stop the program at once again, inside `deferred`.

    Raises
    ------
    Stopped
        If a signal came before.
    """
    with _deferring(-1):
        check_stopped()
        yield


@contextmanager
def _deferring(change: int) -> Iterator[None]:
    global _deferred
    _deferred += change
    try:
        yield
    finally:
        _deferred -= change


def received() -> Stopped | None:
    """Return the signal that came, even if its exception was swallowed; None if no signal came."""
    return _received


def _say_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Report a destructor's exception as Python does, except `Stopped`: `check_stopped` raises it again."""
    if unraisable.exc_type is not Stopped:
        sys.__unraisablehook__(unraisable)


def _stop(number: int, _frame: FrameType | None) -> None:
    global _received, _handled
    _handled += 1
    # Users and schedulers may send several signals: a second one must not interrupt the removal of files.
    if _received is None:
        _received = Stopped(signal.Signals(number))
        if not _deferred:
            raise _received
