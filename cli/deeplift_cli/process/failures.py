"""One line for the user about the exception that ended a command, whatever the exception is.

The module imports nothing whose own import may have been the failure.
"""

import errno
import os
import platform
import sys
import traceback

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.errors import UserError
from deeplift_cli.process.steps import step_of
from deeplift_cli.process.terminal_text import printable

# Words by which libraries report that they got no memory; each library raises an exception of its own type.
_SIGNS = ("allocate memory", "out of memory", "bad_alloc", "bad allocation", "failed to map segment")
# These words come from torch and C++; they count with every type of exception.
_SURE_SIGNS = ("can't allocate memory", "bad_alloc")
_LONGEST = 500  # characters that are shown of a library's message


def line_of(error: BaseException) -> str:
    """Return the one line that says what went wrong, where, and what to do."""
    return printable(_line_of(error))


def _line_of(error: BaseException) -> str:
    if isinstance(error, UserError):
        return _joined(str(error))
    where = step_of(error)
    if is_about_memory(error):
        text = _shortened(error)
        return (
            f"not enough memory{where and f' {where}'} ({text}{_address_space()}); give a smaller "
            "--batch-size, fewer --n-references or shorter sequences, or raise the limit"
        )
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return (
            f"no further thread can be started{where and f' {where}'}: the limit on processes or on memory "
            "is reached (ulimit -u, ulimit -v)"
        )
    if isinstance(error, OSError) and error.errno is not None:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{place}{os.strerror(error.errno)}{where and f' ({where})'}"
    if isinstance(error, RecursionError):
        text = "something is nested more deeply than Python can follow"
    else:
        text = f"unexpected {type(error).__name__}: {_shortened(error)}"
    return f"{text}{where and f' {where}'}; {_REPORT}"


_REPORT = (
    f"please report this, with the file if you can (deeplift {deeplift_version()}, Python "
    f"{platform.python_version()}; `deeplift -v ...` shows where it happened)"
)


def is_about_memory(error: BaseException) -> bool:
    """Return whether an exception says that there is not enough memory, on the CPU or on another device."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    torch = sys.modules.get("torch")  # no exception is torch's before torch is imported
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = text_of(error).lower()
    if any(sign in text for sign in _SURE_SIGNS):
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and any(sign in text for sign in _SIGNS)


def text_of(error: BaseException) -> str:
    """Return an exception's message; "" if the exception fails to give one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the classes of models' exceptions can hold any code
        return ""


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an unexpected error to stderr; a `UserError` already says what to do."""
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)


def silence_stdout() -> None:
    """Redirect stdout to the null device when its reader is gone (`| head`).

    Python flushes stdout when it ends, and would print an error otherwise.
    """
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _shortened(error: BaseException) -> str:
    text = _joined(str(error)) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _joined(text: str) -> str:
    head, *rest = [line.strip() for line in text.splitlines()] or [""]
    return " ".join([head, "; ".join(filter(None, rest))]).strip()


def _address_space() -> str:
    """Return the limit that ``ulimit -v`` sets, as the end of a message; "" if there is no limit."""
    if sys.platform == "win32":
        return ""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return "" if limit == resource.RLIM_INFINITY else f"; ulimit -v allows {limit / 1e9:.1f} GB in all"
