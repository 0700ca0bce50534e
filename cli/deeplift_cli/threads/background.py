"""Work that follows on a thread of its own, a little behind whoever hands it on."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self


class Background:
    """Does what it is given in order, on one other thread; a context manager.

    An exception of the work is raised again where the next piece of work is handed on, or by `wait`. On
    leaving, all that was handed on is done first, whatever the reason for leaving. Leave where signals are
    deferred, so that this is waited for.

    Parameters
    ----------
    at_most : int
        Pieces of work that may be waiting or at work; they are what this costs in memory.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._pending = deque[Future[None]]()

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "deeplift-keeper")
        # The thread starts here: where none can be started, that is found out before there is work to lose.
        self._thread.submit(int).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()

    def hand_on(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have this done when its turn comes; waits for room first."""
        self.wait(self._at_most - 1)
        self._pending.append(self._thread.submit(work, *arguments))

    def wait(self, left: int = 0) -> None:
        """Until all is done, or all but so many pieces of work."""
        while len(self._pending) > left:
            self._pending.popleft().result()
