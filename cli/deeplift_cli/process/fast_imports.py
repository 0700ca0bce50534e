"""Importing large packages."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Within, Python does not look for garbage; what was imported is never looked through again.

    While torch and its like make their hundred thousands of objects, all of which stay, Python looks through
    them for garbage again and again, for a fifth of the time that importing takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
