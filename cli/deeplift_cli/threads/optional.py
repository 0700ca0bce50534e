"""An executor for systems on which no thread may start: the calling thread then does the work itself."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class WillingThreads(ThreadPoolExecutor):
    """An executor whose tasks run in the calling thread if no other thread can be started.

    The limits on processes and on memory may be reached when a job has scored everything and puts its outputs
    together. The outputs then take longer, but the job does not fail.
    """

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Submit a task as to any executor; without a thread, the task is done when this method returns."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "new thread" not in str(error):
                raise
        done: Future[Result] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
