"""How much memory a process may use, and how the C library allocates memory for tensors."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

# Numbers of glibc's parameters of mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20  # bytes; for larger blocks glibc always asks the kernel, and never reuses freed memory
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Names of the files with a control group's limit and usage, and the entries of "memory.stat" for file caches,
# which the kernel frees on demand: for version 2 of Linux's control groups, and for version 1.
_VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1 = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def keep_freed_memory() -> None:
    """Let the process keep the memory of freed tensors for the next tensors.

    By default glibc returns the memory to the kernel each time, and the kernel fills it with zeros before it
    hands it out again: a tenth to a fifth of the time that convolutions with few filters take.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def memory_of(device: torch.device) -> int:
    """Return the bytes that the device has, or that the limits of the job allow, whichever is less.

    The memory that is free at the moment plays no part, so that the same job on the same kind of machine
    takes batches of the same size.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return min([_installed(), *(limit for limit, _ in _limits())])


def available_memory(device: torch.device) -> int:
    """Return the bytes that this process can still allocate on the device.

    On the CPU this is the least of three numbers: the free memory of the machine (swap included), the rest
    that the job's control groups (of a container or Slurm) allow, and the rest that ``ulimit -v`` allows.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, min([_free(), *(limit - used for limit, used in _limits())]))


def in_words(size: float) -> str:
    """Return a number of bytes as text with a unit, such as "1.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"


def _installed() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free() -> int:
    """Return the free bytes of the machine, or all its memory if the system does not report the free part."""
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
    except (OSError, KeyError, ValueError, IndexError):
        return _installed()


def _limits() -> Iterator[tuple[int, int]]:
    """Yield each limit of this process together with the memory that already counts against it, in bytes."""
    for folder, names in _control_groups():
        limit, used = (_number(folder / name) for name in names[:2])
        if limit is not None:
            yield limit, max(0, (used or 0) - _given_back(folder / "memory.stat", names[2]))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        pages = (_PROC / "self" / "statm").read_text().split()[0] if _PROC.is_dir() else "0"
        yield limit, int(pages) * os.sysconf("SC_PAGE_SIZE")


def _control_groups() -> Iterator[tuple[Path, tuple[str, str, tuple[str, ...]]]]:
    """Yield the folders of this process's control groups up to the root, and the names of their files.

    The limits of all these groups apply.
    """
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    places = {(_CGROUPS, ""): _VERSION_2, (_CGROUPS / "memory", ""): _VERSION_1}
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            places[_CGROUPS, path.strip("/")] = _VERSION_2
        elif "memory" in controllers.split(","):
            places[_CGROUPS / "memory", path.strip("/")] = _VERSION_1
    seen = set[Path]()
    for (root, path), names in places.items():
        inner = root / path
        for folder in (inner, *inner.parents):
            if folder not in seen and (folder == root or root in folder.parents):
                seen.add(folder)
                yield folder, names


def _number(path: Path) -> int | None:
    """Return the number in a file of the kernel; None if there is no such file, or it holds "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _given_back(path: Path, names: tuple[str, ...]) -> int:
    """Return the bytes of cached files, whose memory the kernel frees when a process needs it."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return sum(int(value) for name, value in pairs if name in names)
    except (OSError, ValueError):
        return 0
