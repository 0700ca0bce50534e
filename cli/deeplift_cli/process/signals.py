"""Stopping on a signal: everything unfinished is cleaned up on the way out."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
        """As a shell reports it: 130 for SIGINT, 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + self.number


# Kept until the process ends, and with it the frames that it went through: what they hold of a C library's
# half-made objects must not be taken apart, which such a library would complain about.
_received: Stopped | None = None
_deferred = 0


def stop_on_signals() -> None:
    """From now on raise `Stopped` in the main thread; a signal that was ignored (nohup) stays so."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _say_unraisable


def check_stopped() -> None:
    """Raise `Stopped` if a signal came and some library swallowed the exception.

    Raises
    ------
    Stopped
    """
    if _received is not None:
        raise _received


@contextmanager
def deferred() -> Iterator[None]:
    """Within, signals wait for the next `check_stopped` or `interruptible`.

    For files: they must be opened and registered, or completed and renamed, wholly or not at all.
    """
    with _deferring(+1):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, inside `deferred`, signals stop at once again.

    Raises
    ------
    Stopped
        If one came before.
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
    """The signal that came, whatever became of the exception; None if there was none."""
    return _received


def _say_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python's own, but for a `Stopped` that came in a destructor: `check_stopped` raises it again."""
    if unraisable.exc_type is not Stopped:
        sys.__unraisablehook__(unraisable)


def _stop(number: int, _frame: FrameType | None) -> None:
    global _received
    # Impatient users and schedulers send several: a second one must not cut the removal of files short.
    if _received is None:
        _received = Stopped(signal.Signals(number))
        if not _deferred:
            raise _received
