"""Checksums of the content of a score file: SHA-256 of each dataset's values, and of the attributes.

The digest of a dataset of numbers is over its values in C order, little-endian. The digest of a dataset of
texts is over the UTF-8 bytes of each text, each followed by a byte 0, which no text can hold.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

CHECKSUM = "sha256"  # the attribute with the checksum of a dataset
ATTRIBUTES_CHECKSUM = "attributes_sha256"  # the attribute with the checksum of the file's attributes


class OrderedDigest:
    """SHA-256 of values whose parts come from several threads; parts count in the order of their numbers."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._lock = Lock()
        self._ready: dict[int, npt.NDArray[Any]] = {}
        self._given = self._done = 0

    def turn(self) -> int:
        """Return the number of the next part; only the thread that knows the order may call this method."""
        self._given += 1
        return self._given - 1

    def put(self, turn: int, values: npt.NDArray[Any]) -> None:
        """Add the part with this number, whose values must not change any more; any thread may call this."""
        with self._lock:
            self._ready[turn] = values
            while self._done in self._ready:
                self._digest.update(_plain(self._ready.pop(self._done)).data)
                self._done += 1

    def add(self, values: npt.NDArray[Any]) -> None:
        """Add the next part, if one thread has all parts."""
        self.put(self.turn(), values)

    def hexdigest(self) -> str:
        """Return the digest of all parts, which must have been added."""
        assert self._done == self._given
        return self._digest.hexdigest()


class TextDigest:
    """SHA-256 of texts, one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, texts: Iterable[bytes]) -> None:
        """Add further texts as UTF-8."""
        self._digest.update(b"".join(text + b"\0" for text in texts))

    def hexdigest(self) -> str:
        """Return the digest of all texts so far."""
        return self._digest.hexdigest()


def attributes_digest(attrs: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all attributes but their checksum: of a JSON object sorted by name, as UTF-8."""
    others = {name: value for name, value in attrs.items() if name != ATTRIBUTES_CHECKSUM}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8)
