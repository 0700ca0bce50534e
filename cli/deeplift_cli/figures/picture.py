"""Pictures as files: their endings, and the same bytes for the same picture."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.publish import Publication

# No date is stored, so that the same scores give the same file.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def is_vector(path: Path) -> bool:
    """Return whether a picture can be enlarged without loss."""
    return _kind(path) != "png"


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's ending; the file appears whole or not at all.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    content = as_bytes(figure, path)
    try:
        with Publication() as publication:
            publication.temporary(path).write_bytes(content)
    except OSError as error:
        raise not_written(path, error) from error


def as_bytes(figure: Figure, path: Path) -> bytes:
    """Return a figure in the format of the ending of a file that it will be written to."""
    kind = _kind(path)
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=figure.dpi, metadata=_METADATA[kind])
    return content.getvalue()


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
