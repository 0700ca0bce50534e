"""What torch or a model's own code raises while a file is read, told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from deeplift_cli.errors import UserError


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
    """Return the first line of an exception's message, or the exception's name where it has none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
