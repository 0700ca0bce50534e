"""What memory there is for values, and how it is handed out."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

# glibc's numbers for mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 32 << 20  # the most that glibc takes from what it holds; anything larger always comes fresh
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Names of a control group's limit, of what it uses, and of the caches among that, which the kernel gives
# back: version 2 of Linux's control groups, and version 1.
_VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1 = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


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
    return min([_installed(), *(limit for limit, _ in _limits())])


def available_memory(device: torch.device) -> int:
    """Bytes that this process can still take on the device: what is free, and allowed.

    On the CPU the least of what the machine has left (swap included), what the limits of the job's control
    groups leave (a container's or Slurm's), and what ``ulimit -v`` leaves.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, min([_free(), *(limit - used for limit, used in _limits())]))


def in_words(size: float) -> str:
    """A number of bytes, as people say it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"


def _installed() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free() -> int:
    """What the machine can still give away; all of it where it does not say."""
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
    except (OSError, KeyError, ValueError, IndexError):
        return _installed()


def _limits() -> Iterator[tuple[int, int]]:
    """Limits of this process, each with what counts against it already, in bytes."""
    for folder, names in _control_groups():
        limit, used = (_number(folder / name) for name in names[:2])
        if limit is not None:
            yield limit, max(0, (used or 0) - _given_back(folder / "memory.stat", names[2]))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        pages = (_PROC / "self" / "statm").read_text().split()[0] if _PROC.is_dir() else "0"
        yield limit, int(pages) * os.sysconf("SC_PAGE_SIZE")


def _control_groups() -> Iterator[tuple[Path, tuple[str, str, tuple[str, ...]]]]:
    """The folders of this process's control groups, up to the root, whose limits all hold."""
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
    """What a file of the kernel's holds; None where there is none, or it says "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _given_back(path: Path, names: tuple[str, ...]) -> int:
    """Bytes of files that the kernel keeps in memory as long as nobody else wants it."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return sum(int(value) for name, value in pairs if name in names)
    except (OSError, ValueError):
        return 0
