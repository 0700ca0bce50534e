"""The grammar of `--input`: a value for an input of the model that is not the sequence."""

from math import isfinite
from pathlib import Path

ZEROS = "zeros"

# The name of an input, and its value as the user wrote it: "zeros", a number or the name of a file.
FurtherInput = tuple[str, str]


def parse_input(text: str) -> FurtherInput:
    """Parse NAME=zeros, NAME=NUMBER or NAME=FILE.npy.

    Raises
    ------
    ValueError
        If the text is none of these, or the number is not finite.
    """
    name, found, value = text.partition("=")
    if not (found and name and value):
        raise ValueError(f"{text[:60]!r} is none of NAME=zeros, NAME=NUMBER and NAME=FILE.npy")
    number = number_in(value)
    if number is not None and not isfinite(number):
        raise ValueError(f"{text[:60]!r} is no finite number")
    return name, value


def number_in(value: str) -> float | None:
    """Return the number that fills an input, 0 for "zeros"; None for the name of a file."""
    if value == ZEROS:
        return 0.0
    try:
        return float(value)
    except ValueError:
        return None


def file_in(value: str) -> Path | None:
    """Return the file of an input's values; None for "zeros" or a number."""
    return Path(value) if number_in(value) is None else None


def as_options(inputs: tuple[FurtherInput, ...]) -> list[str]:
    """Return the words of a command line that give these inputs."""
    return [word for name, value in inputs for word in ("--input", f"{name}={value}")]
