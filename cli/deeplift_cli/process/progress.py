"""What work calls as it proceeds; the screen gives such a function, which draws a bar."""

from collections.abc import Callable

# Such a function takes the number of finished records, and the number of all records.
Progressed = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Show nothing."""
