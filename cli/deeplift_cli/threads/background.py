"""Tasks that another thread does in order while the main thread continues."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self


class Background:
    """Does the submitted tasks in order, on one other thread; a context manager.

    An exception of a task is raised again by the next `submit` or `wait`. The exit of the context waits until
    all submitted tasks are done, also when an exception caused the exit. Signals should be deferred during
    the exit, so that they do not interrupt the wait.

    Parameters
    ----------
    at_most : int
        Number of tasks that may be waiting or running, whose arguments are kept in memory.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._pending = deque[Future[None]]()

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "deeplift-keeper")
        # The thread starts here, so that a failure to start a thread comes before there is work to lose.
        self._thread.submit(int).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        """Add a task to the queue; wait first while `at_most` tasks are in the queue."""
        self.wait(self._at_most - 1)
        self._pending.append(self._thread.submit(work, *arguments))

    def wait(self, left: int = 0) -> None:
        """Wait until no more than `left` tasks are in the queue."""
        while len(self._pending) > left:
            self._pending.popleft().result()
