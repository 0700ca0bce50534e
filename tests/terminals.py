"""What a process writes to a pseudo-terminal."""

import os


def read_to_end(terminal: int) -> bytes:
    """Return all that comes out of a pseudo-terminal until its other side is closed, and close this side."""
    written = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        written += part
    os.close(terminal)
    return written
