"""Names of steps, so that the message about an unexpected failure says what the command was doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BEGIN = "while "


@contextmanager
def step(what: str, path: Path) -> Iterator[None]:
    """Add a note to every exception that leaves the block: what was done, and with which file.

    The note stays with the exception when another thread raises the exception again, and a traceback shows
    it. Steps may be nested; messages name the innermost one.

    Parameters
    ----------
    what : str
        A verb in its "-ing" form with its object, such as "reading the model".
    path : Path
        The file that the step reads or writes.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"{_BEGIN}{what} ({path})")
        raise


def step_of(error: BaseException) -> str:
    """Return the innermost step in which an exception was raised, as "while ..."; "" if there is no step."""
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_BEGIN))
    return next(notes, "")
