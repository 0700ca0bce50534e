"""What `--target` chooses of the model's output: elements, means, sums and maxima, differences, and heads.

Objects here say what the user wrote and know nothing of the model: `deeplift_cli.models.targets` finds out
what they are for a model.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

FUNCTIONS = ("mean", "sum", "max")
EACH = "all"
COUNTS, PROFILE, PER_TRACK, FIXED_WEIGHTS = HEADS = (
    "counts",
    "profile",
    "profile-per-track",
    "profile-fixed-weights",
)


@dataclass(frozen=True)
class Name:
    """A class or track by its name, which stands for an index of one axis."""

    text: str

    def __str__(self) -> str:
        return '"' + self.text.replace('"', '""') + '"'

    @property
    def label(self) -> str:
        """The name with ``_`` for all but letters and digits."""
        return re.sub(r"\W", "_", self.text)


@dataclass(frozen=True)
class Range:
    """Some indices of one axis: ``start`` to ``end`` - 1, or all of them where both are None."""

    start: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        return ":" if self.end is None else f"{self.start}:{self.end}"

    @property
    def label(self) -> str:
        """``all`` for the whole axis, else ``start..end``."""
        return EACH if self.end is None else f"{self.start}..{self.end}"


@dataclass(frozen=True)
class Each:
    """``all``: each index of one axis, a target of its own."""

    def __str__(self) -> str:
        return EACH

    @property
    def label(self) -> str:
        """The word itself; targets that were told apart by the model's shape have an index in its place."""
        return EACH


Place = int | Name | Range | Each
Stored = int | tuple[int, ...] | str


@dataclass(frozen=True)
class Element:
    """One element of the output: a place on each axis after the batch."""

    places: tuple[Place, ...]

    def __str__(self) -> str:
        inside = ",".join(map(str, self.places))
        return inside if len(self.places) == 1 else f"({inside})"

    @property
    def label(self) -> str:
        """In a file's name: "3", or "50-1" for (50, 1)."""
        return _joined(self.places)

    @property
    def stored(self) -> Stored:
        """In a score file: an index, several, or the text where there are others than indices."""
        indices = tuple(place for place in self.places if isinstance(place, int))
        if len(indices) < len(self.places):
            return str(self)
        return indices if len(indices) > 1 else indices[0]


@dataclass(frozen=True)
class Reduction:
    """A mean, sum or maximum over a part of the output, or over the whole of it where there are no places."""

    function: str
    places: tuple[Place, ...] = ()

    def __str__(self) -> str:
        return self.function + (f"({','.join(map(str, self.places))})" if self.places else "")

    @property
    def label(self) -> str:
        """In a file's name: "mean_all-1" for mean(:,1)."""
        return f"{self.function}_{_joined(self.places)}" if self.places else self.function

    @property
    def stored(self) -> Stored:
        """In a score file."""
        return str(self)


@dataclass(frozen=True)
class Difference:
    """One term less another."""

    first: Element | Reduction
    second: Element | Reduction

    def __str__(self) -> str:
        return f"{self.first}-{self.second}"

    @property
    def label(self) -> str:
        """In a file's name: "3_minus_1"."""
        return f"{self.first.label}_minus_{self.second.label}"

    @property
    def stored(self) -> Stored:
        """In a score file."""
        return str(self)


@dataclass(frozen=True)
class Head:
    """A scalar of BPNet-like models, by its word."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """In a file's name."""
        return self.name

    @property
    def stored(self) -> Stored:
        """In a score file."""
        return self.name


@dataclass(frozen=True)
class Unread:
    """The text of `--target` where it holds names that can be read only once the model's names are known."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def label(self) -> str:
        """In a file's name, where a message needs one before the names are known."""
        return re.sub(r"\W", "_", self.text)

    @property
    def stored(self) -> Stored:
        """What is never stored: targets are read before anything is written."""
        return self.text


TargetSpec = Element | Reduction | Difference | Head | Unread

FIRST = Element((0,))


def may_be_several(targets: Sequence[TargetSpec]) -> bool:
    """Return whether the options name more than one target, or may do so once the model is known."""
    return len(targets) > 1 or any(has_each(target) for target in targets)


def has_each(target: TargetSpec) -> bool:
    """Return whether ``all`` is in a target, which then stands for several."""
    return isinstance(target, Element | Reduction) and Each() in target.places


def has_names(target: TargetSpec) -> bool:
    """Return whether a target names classes or tracks."""
    terms = (target.first, target.second) if isinstance(target, Difference) else (target,)
    return any(
        isinstance(place, Name)
        for term in terms
        if isinstance(term, Element | Reduction)
        for place in term.places
    )


def each_of(target: Element | Reduction, size: int) -> list[TargetSpec]:
    """Return the targets that one with ``all`` stands for, on an axis of this size."""
    at = target.places.index(Each())
    return [
        replace(target, places=(*target.places[:at], index, *target.places[at + 1 :]))
        for index in range(size)
    ]


def same_label(targets: Iterable[TargetSpec]) -> tuple[TargetSpec, TargetSpec] | None:
    """Return two targets of one name in files' names, if there are any."""
    seen = dict[str, TargetSpec]()
    for target in targets:
        if target.label in seen:
            return seen[target.label], target
        seen[target.label] = target
    return None


def indices_of(stored: str) -> tuple[int, ...] | None:
    """Return the indices that an attribute of a score file holds as JSON; None where it holds a text."""
    if not stored.startswith("["):
        return None
    found = json.loads(stored)
    if not all(isinstance(index, int) for index in found):
        raise ValueError(f"{stored} is no list of indices")
    return tuple(found)


def _joined(places: Sequence[Place]) -> str:
    return "-".join(str(place) if isinstance(place, int) else place.label for place in places)
