"""Faster imports of large packages."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off while packages are imported.

    An import of torch makes hundred thousands of objects, all of which stay. The collector would visit these
    objects again and again, which takes a fifth of the time of the import. On exit, the objects are moved to
    the permanent generation, so that later collections do not visit them either.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
