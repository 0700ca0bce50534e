"""The windows of both alleles of a variant, and the position in ALT's window of each base of REF's.

The window of REF has the first base of the variant's REF allele at index L // 2. In the window of ALT the
ALT allele is in the place of the REF allele, and the rest comes from the genome: after a deletion the window
needs further bases, after an insertion it has too many. With ``right`` these come and go at the right end,
so that all bases before the variant stay at their index; with ``left`` at the left end, so that all bases
after the variant do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Side = Literal["right", "left"]
# Returns the letters of the variant's chromosome from a start to an end, 0-based and half-open.
Fetch = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Window:
    """Where the alleles of one variant lie.

    Attributes
    ----------
    length : int
        L, the length of the windows in bp.
    position : int
        0-based position on the chromosome of the first base of REF.
    ref, alt : bytes
        The alleles in upper case.
    side : "right" or "left"
        The end at which ALT's window is cut or filled.
    """

    length: int
    position: int
    ref: bytes
    alt: bytes
    side: Side = "right"

    @property
    def start(self) -> int:
        """The 0-based start of REF's window on the chromosome."""
        return self.position - self.length // 2

    @property
    def end(self) -> int:
        """The end of REF's window on the chromosome."""
        return self.start + self.length

    @property
    def gained(self) -> int:
        """The number of bases that ALT has more than REF; negative for a deletion."""
        return len(self.alt) - len(self.ref)

    @property
    def span(self) -> tuple[int, int]:
        """The part of the chromosome, 0-based and half-open, from which both windows are made."""
        missing = max(-self.gained, 0)
        return (self.start, self.end + missing) if self.side == "right" else (self.start - missing, self.end)

    @property
    def is_wide_enough(self) -> bool:
        """Whether both alleles fit between the middle of the window and its end."""
        return max(len(self.ref), len(self.alt)) <= self.length - self.length // 2

    @property
    def at(self) -> int:
        """The index of the first base of the allele in REF's window."""
        return self.length // 2

    @property
    def at_in_alt(self) -> int:
        """The index of the first base of the allele in ALT's window."""
        return self.at - (self.gained if self.side == "left" else 0)

    def reference(self, fetch: Fetch) -> bytes:
        """Return the letters of REF's window."""
        return fetch(self.start, self.end)

    def alternative(self, fetch: Fetch) -> bytes:
        """Return the letters of ALT's window."""
        after = self.position + len(self.ref)
        start, end = self.start, self.end
        if self.side == "right":
            end -= self.gained
        else:
            start += self.gained
        return fetch(start, self.position) + self.alt + fetch(after, end)


@dataclass(frozen=True)
class Alignment:
    """Which base of ALT's window corresponds to each base of REF's window.

    A base that only one of the windows has contributes nothing in the other: a deleted base of REF, or one
    that no longer fits into ALT's window, has no partner. The inserted bases of ALT, which no position of
    the genome has, belong to the base before them. Bases that ALT's window has beyond the ends of REF's
    belong to no position.

    Attributes
    ----------
    partner : int array [L]
        The index in ALT's window for each index in REF's; L where there is none.
    inserted : slice
        The indices in ALT's window of the inserted bases.
    anchor : int
        The index in REF's window to which the inserted bases belong.
    """

    partner: npt.NDArray[np.int64]
    inserted: slice
    anchor: int

    @classmethod
    def of(cls, window: Window) -> "Alignment":
        """Align two windows; letters that both alleles begin with are paired first, then those at the end."""
        length, at, at_in_alt = window.length, window.at, window.at_in_alt
        n_ref, n_alt = len(window.ref), len(window.alt)
        shorter = min(n_ref, n_alt)
        first = _common(window.ref[:shorter], window.alt[:shorter])
        last = min(_common(window.ref[::-1], window.alt[::-1]), shorter - first)
        paired = shorter - last  # letters of REF and ALT that are paired from the left, equal or not
        index = np.arange(length)
        partner = index + (at_in_alt - at)  # up to and including these letters
        partner[at + paired :] = length
        partner[at + n_ref - last :] = index[at + n_ref - last :] + (at_in_alt + n_alt - at - n_ref)
        partner[(partner < 0) | (partner > length)] = length
        inserted = slice(at_in_alt + paired, at_in_alt + n_alt - last)
        return cls(partner, inserted, at + max(paired - 1, 0))

    def aligned(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bring values of ALT's window [..., L] to the positions of REF's window; 0 where there is none."""
        extended = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)
        found: npt.NDArray[Any] = extended[..., self.partner]
        if self.inserted.start < self.inserted.stop:
            found[..., self.anchor] += values[..., self.inserted].sum(-1)
        return found


def _common(first: bytes, second: bytes) -> int:
    """Return the number of letters that two alleles have in common from their beginning."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
