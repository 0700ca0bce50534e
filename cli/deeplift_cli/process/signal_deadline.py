"""A limit for the time in which the program has to react to a signal.

Python runs signal handlers in the main thread, between two instructions. If the main thread is inside
compiled code that never returns (a TorchScript model with an endless loop), no handler runs, and Ctrl-C would
have no effect. The same is true if a handler has run, but a library swallowed the handler's exception, and
the main thread enters such code afterwards. After a signal, the main thread must therefore run a handler
again and again until the process ends.
"""

import os
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Thread, main_thread
from time import monotonic, sleep

PATIENCE = 10.0  # seconds; one operation on one batch takes less
_PAUSE = 0.1


def end_if_unanswered(n_handled: Callable[[], int], watched: Collection[int]) -> None:
    """Start a thread that ends the process if a signal is not handled within `PATIENCE` seconds.

    After the first signal the thread sends the same signal to the main thread from time to time, and ends
    the process if one of these is not handled. The process ends at once, as by SIGKILL: unfinished files
    stay, and finished batches are kept.

    Parameters
    ----------
    n_handled : callable
        Returns how many times a handler has run.
    watched : collection of int
        The signals that end the process.
    """
    try:
        reader, writer = os.pipe()
    except OSError:  # no further file may be open: only the handlers react to signals
        return
    os.set_blocking(writer, False)
    # The C code behind signal handlers writes the number of each signal to this pipe, in whatever code the
    # main thread is.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget_pipe)
    # Without a second thread, which the system may refuse, only the handlers react to signals.
    with suppress(RuntimeError):
        Thread(target=_watch, args=(reader, n_handled, watched), daemon=True).start()


def _forget_pipe() -> None:
    """Detach a forked process from the pipe: a signal to this process must not end its parent."""
    with suppress(ValueError):  # only the main thread may
        signal.set_wakeup_fd(-1)


def _watch(reader: int, n_handled: Callable[[], int], watched: Collection[int]) -> None:
    while number := os.read(reader, 1):
        if number[0] in watched:
            break
    before = 0
    while _rises_above(before, n_handled):
        sleep(PATIENCE)
        before = n_handled()
        signal.pthread_kill(main_thread().ident or 0, number[0])
    name = signal.Signals(number[0]).name
    line = f"deeplift: stopped by {name}; code of the model did not return within {PATIENCE:g} s\n"
    with suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, line.encode())
    os._exit(128 + number[0])


def _rises_above(before: int, n_handled: Callable[[], int]) -> bool:
    """Return whether a handler runs within `PATIENCE` seconds."""
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        if n_handled() > before:
            return True
        sleep(_PAUSE)
    return False
