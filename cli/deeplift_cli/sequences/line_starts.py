"""Where the lines of a file begin, in bytes."""

from typing import BinaryIO

import numpy as np
import numpy.typing as npt

_CHUNK = 2**20
_LF, _CR = b"\n"[0], b"\r"[0]


class LineStarts:
    """The first byte of each line of a text, whose lines end as `text.open_text` takes them.

    The parsers of sequences and regions count lines and do not see bytes, since decoding and the three kinds
    of line ends come before them. The bytes are therefore read here for themselves.

    Parameters
    ----------
    file : binary file
        At its beginning, unpacked: see `text.open_bytes`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self._before = 0  # lines before those of `_starts`
        self._place = 0  # bytes read

    def offset(self, line: int) -> int:
        """The first byte of a line, counted from 1, which is not before the last one that was asked for.

        Raises
        ------
        ValueError
            If the file has fewer lines.
        """
        while line > self._before + len(self._starts):
            self._read_on()
        return int(self._starts[line - 1 - self._before])

    def _read_on(self) -> None:
        chunk = self._file.read(_CHUNK)
        if not chunk:
            raise ValueError("the file has fewer lines than it had")
        while chunk.endswith(b"\r") and (following := self._file.read(1)):
            chunk += following  # a line feed there belongs to the same line end
        codes = np.frombuffer(chunk, np.uint8)
        ends = codes == _LF
        if b"\r" in chunk:
            alone = codes == _CR
            alone[:-1] &= ~ends[1:]
            ends |= alone
        self._before += len(self._starts)
        self._starts = np.flatnonzero(ends) + (self._place + 1)
        self._place += len(chunk)
