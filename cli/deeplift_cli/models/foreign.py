"""Turns exceptions of torch or of a model's own code into one line about the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from deeplift_cli.errors import UserError


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
    """Return the first line of an exception's message, or the exception's name if it has no message."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
