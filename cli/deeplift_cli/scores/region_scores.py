"""The scores of one region."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.sequences.names import printed

_BASES = np.frombuffer(b"ACGT", np.uint8)
_SHOWN = 60  # letters of a sequence in `repr`


@dataclass(frozen=True, eq=False)
class RegionScores:
    """The scores of one region, or of a part of a region.

    Attributes
    ----------
    chrom : str
        The chromosome; the record's name if the record has no coordinates.
    start, end : int
        The scored window, or the part of the window that was asked for, 0-based and half-open.
    name, strand : str
        The record's name, and "+", "-" or ".".
    index : int
        The number of the record in the input, from 0.
    row : int
        The row of the score file, from 0.
    one_hot : ndarray of int8, [4, L]
        The sequence in the order A, C, G, T; all zero at an N.
    contributions : ndarray of float32, [L]
        The contribution of the observed base at each position, in units of the explained output.
    hypothetical : ndarray of float32, [4, L]
        What each base would contribute at the position.
    quality : mapping of str to float or ndarray [R]
        The numbers of `qc/`, such as "output", "reference_output" and "completeness_error".
    along : mapping of str to ndarray [L] or [4, L]
        Further values at each position that the file holds, such as "position_standard_error", the standard
        error of the contributions over the references.
    """

    chrom: str
    start: int
    end: int
    name: str
    strand: str
    index: int
    row: int
    one_hot: npt.NDArray[np.int8]
    contributions: npt.NDArray[Any]
    hypothetical: npt.NDArray[Any]
    quality: Mapping[str, Any] = field(default_factory=dict)
    along: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def sequence(self) -> str:
        """The sequence as letters, with N where there is no base."""
        letters = np.where(self.one_hot.any(axis=0), _BASES[self.one_hot.argmax(axis=0)], ord("N"))
        return letters.astype(np.uint8).tobytes().decode("ascii")

    def part(self, start: int, end: int) -> "RegionScores":
        """Return the part of the region from start to end, in the coordinates of the chromosome.

        Parameters
        ----------
        start, end : int
            0-based and half-open, within the region.

        Raises
        ------
        ValueError
            If the part is empty, or not within the region.
        """
        if not self.start <= start < end <= self.end:
            raise ValueError(
                f"{start}-{end} is no part of {self.chrom}:{self.start}-{self.end} (0-based, end exclusive)"
            )
        here = slice(start - self.start, end - self.start)
        return replace(
            self,
            start=start,
            end=end,
            one_hot=self.one_hot[:, here],
            contributions=self.contributions[here],
            hypothetical=self.hypothetical[:, here],
            along={name: values[..., here] for name, values in self.along.items()},
        )

    def __len__(self) -> int:
        """Return L, the number of positions."""
        return self.end - self.start

    def __repr__(self) -> str:
        """Return the place, the sequence's first letters, and a line for each array."""
        letters = self.sequence[:_SHOWN] + ("..." if len(self) > _SHOWN else "")
        strongest = ""
        if self.contributions.size:
            place = int(np.abs(self.contributions).argmax())
            value, position = float(self.contributions[place]), self.start + place
            strongest = f"sum {float(self.contributions.sum()):.4g}, strongest {value:.4g} at {position:,}"
        rows = [
            ("sequence", letters),
            ("contributions", f"{list(self.contributions.shape)} {strongest}".rstrip()),
            ("hypothetical", str(list(self.hypothetical.shape))),
            *((name, str(list(values.shape))) for name, values in self.along.items()),
            *((name, _short(value)) for name, value in self.quality.items()),
        ]
        width = max(len(name) for name, _ in rows)
        place_text = f"{printed(self.chrom)}:{self.start}-{self.end} ({self.strand})"
        head = f"<RegionScores {printed(self.name)}  {place_text}  row {self.row}"
        return "\n".join([head, *(f"  {name:<{width}}  {text}" for name, text in rows)]) + ">"


def _short(value: Any) -> str:
    """Return a number, or the mean and the number of several."""
    values = np.asarray(value)
    if values.ndim == 0:
        return f"{values.item():.6g}"
    return f"[{len(values)}] mean {values.mean():.6g}" if len(values) else "[0]"
