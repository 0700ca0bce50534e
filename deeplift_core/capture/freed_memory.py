"""Freed memory given back to the system.

A recording holds every value of the model's run at one moment, and frees these values at its end. glibc keeps
freed memory in pieces that fit no value of another size (torch asks for aligned memory), so that the values
of the next run would come on top: without this step the peak of recording a SpliceAI-like model is half as
high again.
"""

import ctypes
from functools import cache


def give_back_freed_memory() -> None:
    """Give freed memory back to the system, where the C library can."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS and Windows have no such function
        return None
