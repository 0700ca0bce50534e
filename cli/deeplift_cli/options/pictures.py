"""Names of pictures that can be drawn."""

from pathlib import Path

ENDINGS = (".png", ".svg", ".pdf")
FORMATS = tuple(ending.removeprefix(".") for ending in ENDINGS)


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


def check_folder(path: Path) -> Path:
    """Return the path of a folder of pictures.

    Raises
    ------
    ValueError
        If its name is that of a picture.
    """
    if path.suffix.lower() in ENDINGS:
        raise ValueError(
            f"{path.name[:60]!r} is the name of a picture, and --top makes a folder of pictures: give the "
            "name of a folder, and the kind of picture by --format"
        )
    return path
