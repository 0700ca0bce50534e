"""Threads that may be missing: where none can be started, the work is done by whoever asks for it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class WillingThreads(ThreadPoolExecutor):
    """An executor that needs no thread.

    The limits on processes and on memory may be reached when a job has scored everything and its outputs are
    put together; they then take longer, and the job does not fail.
    """

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """As for any executor; the future is done already where there is no thread."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "new thread" not in str(error):
                raise
        done: Future[Result] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
