"""The byte offsets at which the lines of a file begin."""

from typing import BinaryIO

import numpy as np
import numpy.typing as npt

_CHUNK = 2**20
_LF, _CR = b"\n"[0], b"\r"[0]


class LineStarts:
    """The offset of the first byte of each line of a text, with the line ends that `text.open_text` reads.

    The parsers of sequences and regions read decoded lines, in which all three kinds of line ends are one
    newline, so that the parsers do not know offsets. This class therefore reads the bytes again.

    Parameters
    ----------
    file : binary file
        The unpacked file, at its beginning: see `text.open_bytes`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self._before = 0  # lines before those of `_starts`
        self._place = 0  # bytes read

    def offset(self, line: int) -> int:
        """Return the offset of a line, counted from 1; the line must not be before that of the last call.

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
