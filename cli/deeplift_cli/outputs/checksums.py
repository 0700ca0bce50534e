"""Checksums of what a score file holds: SHA-256 of each dataset's values, and of the attributes.

The values of a dataset count in their order (C order), little-endian; of a dataset of texts, each text's
UTF-8 bytes and a byte 0 after them, which no text can hold.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

CHECKSUM = "sha256"  # the attribute of a dataset
ATTRIBUTES_CHECKSUM = "attributes_sha256"  # the file's own


class OrderedDigest:
    """SHA-256 of values whose parts become ready on several threads, in the order of their turns."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._lock = Lock()
        self._ready: dict[int, npt.NDArray[Any]] = {}
        self._given = self._done = 0

    def turn(self) -> int:
        """The place of the next part; for the one thread that knows their order."""
        self._given += 1
        return self._given - 1

    def put(self, turn: int, values: npt.NDArray[Any]) -> None:
        """Take the part of this turn, which must not change any more. Any thread may call this."""
        with self._lock:
            self._ready[turn] = values
            while self._done in self._ready:
                self._digest.update(_plain(self._ready.pop(self._done)).data)
                self._done += 1

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take the next part, where one thread has them all."""
        self.put(self.turn(), values)

    def hexdigest(self) -> str:
        """Of all parts, when they are there."""
        assert self._done == self._given
        return self._digest.hexdigest()


class TextDigest:
    """SHA-256 of texts, one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, texts: Iterable[bytes]) -> None:
        """Take further texts as UTF-8."""
        self._digest.update(b"".join(text + b"\0" for text in texts))

    def hexdigest(self) -> str:
        """Of all texts so far."""
        return self._digest.hexdigest()


def attributes_digest(attrs: Mapping[str, Any]) -> str:
    """SHA-256 of plain attributes but their own checksum: of a JSON object sorted by name, as UTF-8."""
    others = {name: value for name, value in attrs.items() if name != ATTRIBUTES_CHECKSUM}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8)
