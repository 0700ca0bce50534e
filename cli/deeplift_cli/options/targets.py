"""The `--target` option: one index, several, or elements of an output with more axes."""

import re
from dataclasses import dataclass

from deeplift_cli.options.numbers import whole_number

_ONE = re.compile(r"\s*(?:(\d+)|\(\s*(\d+(?:\s*,\s*\d+)*)\s*,?\s*\))\s*(?:,|$)", re.ASCII)


@dataclass(frozen=True)
class TargetSpec:
    """One element of the model's output.

    Attributes
    ----------
    index : int or tuple of int
        As `deeplift_core` takes it.
    """

    index: int | tuple[int, ...]

    @property
    def label(self) -> str:
        """The target in a file's name: "3", or "50-1" for (50, 1)."""
        return "-".join(map(str, self.index)) if isinstance(self.index, tuple) else str(self.index)


def parse_targets(text: str) -> tuple[TargetSpec, ...]:
    """Parse ``3``, ``0,3,5``, ``(50,1)`` or ``(50,1),(50,2)``.

    Raises
    ------
    ValueError
        If the text is none of these, or names a target twice.
    """
    targets = []
    place = 0
    while place < len(text):
        found = _ONE.match(text, place)
        if not found:
            raise ValueError(f"{text!r} is not an index (3), several (0,3,5) or an element ((50,1))")
        single, several = found.groups()
        index = tuple(whole_number(part.strip()) for part in (single or several).split(","))
        targets.append(TargetSpec(index if len(index) > 1 else index[0]))
        place = found.end()
    if not targets or text.rstrip().endswith(","):
        raise ValueError(f"{text!r} does not name a target")
    if len(set(targets)) < len(targets):
        raise ValueError(f"{text!r} names a target twice")
    return tuple(targets)
