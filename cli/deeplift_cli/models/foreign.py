"""Turns exceptions of torch or of a model's own code into one line about the file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.process.failures import text_of

_LONGEST_REASON = 400  # signs; some libraries put all that they were given into a message


@contextmanager
def errors_in_one_line(what: str) -> Iterator[None]:
    """Turn any exception of foreign code into one line about the file.

    Parameters
    ----------
    what : str
        The beginning of the line: the file, and for what it cannot be used.

    Raises
    ------
    UserError
        For every exception except out of memory, which is reported elsewhere.
    """
    import torch

    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # a model's code can raise any exception
        raise UserError(f"{what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the first line of an exception's message, cut where it is long, else its kind."""
    lines = (line.strip() for line in text_of(error).splitlines())
    line = next(filter(None, lines), type(error).__name__)
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."


def search_working_folder() -> None:
    """Let Python find modules in the working folder, after all other places.

    This function may be called only for code that the user allowed to run.
    """
    with suppress(FileNotFoundError):  # the folder was removed
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.append(folder)
