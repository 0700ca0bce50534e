"""What torch or a model's own code raises while a file is read, told in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeplift_cli.errors import UserError

_LONGEST_REASON = 400  # signs; some libraries put all that they were given into a message


@contextmanager
def told_in_one_line(what: str) -> Iterator[None]:
    """Turn whatever code that is not ours raises into one line about the file.

    Parameters
    ----------
    what : str
        The line's beginning: which file it is and what it cannot be used for.

    Raises
    ------
    UserError
        For every exception but running out of memory, which is told elsewhere.
    """
    import torch

    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # a model's code can raise anything
        raise UserError(f"{what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the first line of an exception's message, cut where it is long, else its kind."""
    lines = (line.strip() for line in str(error).splitlines())
    line = next(filter(None, lines), type(error).__name__)
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."


def search_working_folder() -> None:
    """Let Python find modules in the working folder, after all other places.

    Only for code that the user allowed to run.
    """
    with suppress(FileNotFoundError):  # the folder was removed
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.append(folder)
