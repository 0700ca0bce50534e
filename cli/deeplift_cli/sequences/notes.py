"""Notes about an input, which the user should read."""

from collections.abc import Callable

Note = Callable[[str], None]


def say_nothing(_: str) -> None:
    """Drop a note."""
