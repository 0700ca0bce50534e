"""Items of a generator that another thread makes before the main thread asks for them."""

from collections.abc import Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetch(Generic[Item]):
    """Iterates over a generator on another thread; a context manager, to be iterated over once.

    Items come in order. An exception of the generator is raised in the place of the item that the generator
    failed to make. On the exit of the context, the thread finishes the current item, closes the generator and
    ends. Signals should be deferred during the exit, so that they do not interrupt the wait for the thread.

    Parameters
    ----------
    items : generator
        The generator, which only the other thread uses.
    at_most : int
        Number of items that may be ready or in the making, which are kept in memory.
    """

    def __init__(self, items: Generator[Item, None, None], at_most: int) -> None:
        self._items = items
        self._slots = Semaphore(at_most)
        # Each item as a tuple, and at the end None or the generator's exception; the slots bound the size.
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
