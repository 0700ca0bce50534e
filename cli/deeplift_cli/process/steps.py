"""What the command was doing when something failed that nobody expected."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BEGIN = "while "


@contextmanager
def step(what: str, path: Path) -> Iterator[None]:
    """Within, an exception gets a note that says what was done, and with which file.

    The note travels with the exception from thread to thread, and a traceback shows it. Steps may lie within
    each other; the innermost one is told.

    Parameters
    ----------
    what : str
        A verb in its "-ing" form with its object, such as "reading the model".
    path : Path
        The file that it was about.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"{_BEGIN}{what} ({path})")
        raise


def step_of(error: BaseException) -> str:
    """The innermost step in which an exception came up, as "while ..."; "" if it came up in none."""
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_BEGIN))
    return next(notes, "")
