"""Names of pictures that can be drawn."""

from pathlib import Path

ENDINGS = (".png", ".svg", ".pdf")


def check_ending(path: Path) -> Path:
    """Return the path.

    Raises
    ------
    ValueError
        If its ending is that of no kind of picture.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path.name[:60]!r} is the name of no picture: it must end in {', '.join(ENDINGS)}")
    return path
