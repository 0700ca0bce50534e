"""What memory there is for values, and how it is handed out."""

import ctypes
import os
import sys
from pathlib import Path

import torch

# glibc's numbers for mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20  # the most that glibc takes from what it holds; anything larger always comes fresh
# Limits of a container or of a job, version 2 and 1 of Linux's control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def keep_freed_memory() -> None:
    """Let the process keep the memory that tensors free, for the next ones.

    By default glibc gives it back each time, and the kernel clears it whenever it is asked for more: a tenth
    to a fifth of the time that convolutions with few filters take.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def memory_of(device: torch.device) -> int:
    """Bytes that the device has in all, or the job may use: what is free at the moment plays no part.

    So that the same job on the same kind of machine takes batches of the same size.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (Path(path).read_text().strip() for path in _LIMITS if Path(path).is_file())
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])
