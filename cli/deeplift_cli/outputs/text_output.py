"""Text outputs, which are compressed if their names end in .gz."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def opened(temporary: Path, path: Path) -> Iterator[IO[bytes]]:
    """Open a new file for bytes.

    Parameters
    ----------
    temporary : Path
        The file to write.
    path : Path
        Its final name; one that ends in .gz gives gzip in the blocks of bgzip, which tabix can index.
    """
    if path.suffix.lower() != ".gz":
        with temporary.open("wb") as file:
            yield file
        return
    from Bio.bgzf import BgzfWriter

    with BgzfWriter(str(temporary), "wb") as file:
        yield file
