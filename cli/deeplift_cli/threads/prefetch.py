"""Items that are made on a thread of their own, a few ahead of whoever takes them."""

from collections.abc import Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetch(Generic[Item]):
    """Goes through a generator on a thread of its own; a context manager, to be iterated over once.

    Items come in order, and an exception of the generator comes where the item would have come that it
    failed to make. On leaving, the thread makes the item that it is at, closes the generator and ends:
    nothing of it is left. Leave where signals are deferred, so that this is waited for.

    Parameters
    ----------
    items : generator
        Used on the other thread only.
    at_most : int
        Items that may be ready or in the making; they are what this costs in memory.
    """

    def __init__(self, items: Generator[Item, None, None], at_most: int) -> None:
        self._items = items
        self._slots = Semaphore(at_most)
        # Each made item, and at the end None or what went wrong; bounded by the slots.
        self._made = SimpleQueue[tuple[Item] | BaseException | None]()
        self._closed = False
        self._thread = Thread(target=self._make, name="deeplift-reader")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._slots.release()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while True:
            made = self._made.get()
            if made is None:
                return
            if isinstance(made, BaseException):
                raise made
            self._slots.release()
            yield made[0]

    def _make(self) -> None:
        try:
            with closing(self._items):
                while self._has_room():
                    self._made.put((next(self._items),))
        except StopIteration:
            self._made.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
            self._made.put(error)

    def _has_room(self) -> bool:
        self._slots.acquire()
        return not self._closed
