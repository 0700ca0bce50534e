"""The grammar of `--target`: docs/targets.md describes it for users.

SPEC   = TERM | TERM-TERM | HEAD, several separated by commas outside brackets
TERM   = PLACE | (PLACE,...) | FUNCTION | FUNCTION(PLACE,...)
PLACE  = INDEX | NAME | "NAME" | START:END | : | all
"""

import difflib
import re
from collections.abc import Collection

from deeplift_cli.options.numbers import whole_number
from deeplift_cli.options.targets import (
    EACH,
    FUNCTIONS,
    HEADS,
    Difference,
    Each,
    Element,
    Head,
    Name,
    Place,
    Range,
    Reduction,
    TargetSpec,
    Unread,
)

_WORDS = sorted((*FUNCTIONS, *HEADS, EACH), key=len, reverse=True)
_NUMBER = re.compile(r"\d+", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
# What may stand behind an unquoted name.
_END = re.compile(r"\s*(?:[,)-]|$)")
_SHOWN = 60  # characters of what the user typed


def parse_targets(text: str, names: Collection[str] | None = None) -> tuple[TargetSpec, ...]:
    """Parse the argument of `--target`.

    Parameters
    ----------
    text : str
    names : collection of str, optional
        The names of the model's classes or tracks. Without names a text with unquoted names is not read.

    Returns
    -------
    tuple of TargetSpec
        One `Unread` where unquoted names are not known yet.

    Raises
    ------
    ValueError
        If the text is not of the grammar, or names a target twice.
    """
    try:
        targets = _Parser(text, names or ()).targets()
    except ValueError:
        if names is None and _may_hold_names(text):
            return (Unread(text),)
        raise
    if len(set(targets)) < len(targets):
        raise ValueError(f"{_shown(text)} names a target twice")
    return targets


def _may_hold_names(text: str) -> bool:
    """Return whether there is a word outside quotes that is none of the grammar's."""
    rest = _QUOTED.sub(" ", text)
    for word in _WORDS:
        rest = re.sub(rf"(?<!\w){word}(?!\w)", " ", rest)
    return any(letter.isalpha() for letter in rest)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


class _Parser:
    """Reads one text from the left to the right."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._at = 0

    def targets(self) -> tuple[TargetSpec, ...]:
        """Read the whole text."""
        if not self._text.strip():
            raise ValueError(f"{_shown(self._text)} does not name a target")
        found = [self._target()]
        while self._take(","):
            found.append(self._target())
        if self._rest():
            raise self._error(f"{_shown(self._rest())} is left over")
        return tuple(found)

    # ---- targets and terms

    def _target(self) -> TargetSpec:
        first = self._term()
        if not self._take("-"):
            return first
        second = self._term()
        for term in (first, second):
            if isinstance(term, Head):
                raise self._error(f"{term} is a head, which has no differences")
            if Each() in term.places:
                raise self._error("all does not go with a difference; write each difference by itself")
        assert not isinstance(first, Head)
        assert not isinstance(second, Head)
        if first == second:
            raise self._error(f"{first} less itself is 0 everywhere")
        if self._take("-"):
            raise self._error("a difference has two terms")
        return Difference(first, second)

    def _term(self) -> Element | Reduction | Head:
        place = self._name()
        if place is not None:
            return Element((place,))
        word = self._word()
        if word in HEADS:
            return Head(word)
        if word in FUNCTIONS:
            return self._reduction(word)
        if word == EACH:
            return Element((Each(),))
        places = self._tuple() if self._take("(") else (self._place(),)
        if any(isinstance(place, Range) for place in places):
            inside = ",".join(map(str, places))
            raise self._error(
                f"a range needs a function: mean({inside}), sum({inside}) or max({inside}), perhaps"
            )
        return Element(places)

    def _reduction(self, function: str) -> Reduction:
        if not self._take("("):
            return Reduction(function)
        inner = self._take("(")
        places = self._tuple()
        if inner and not self._take(")"):
            raise self._error(f"a bracket of {function}(( is not closed")
        return Reduction(function, places)

    def _tuple(self) -> tuple[Place, ...]:
        """Read places up to the closing bracket, which may follow a comma."""
        places = list[Place]()
        while not self._take(")"):
            if self._skipped() == len(self._text):
                raise self._error("a bracket is not closed")
            places.append(self._place())
            if not self._take(",") and not self._text.startswith(")", self._skipped()):
                raise self._error("a comma or ) is missing" + self._before_rest())
        if not places:
            raise self._error("there is nothing between the brackets")
        if places.count(Each()) > 1:
            raise self._error("all can stand for one axis only")
        return tuple(places)

    # ---- places

    def _place(self) -> Place:
        name = self._name()
        if name is not None:
            return name
        number = self._number()
        if number is None:
            return self._place_without_number()
        if not self._take(":"):
            return number
        end = self._number()
        if end is None:
            raise self._error(f"the range {number}: has no end; write {number}:END, or : for the whole axis")
        if end <= number:
            raise self._error(f"the range {number}:{end} is empty: its end is the first index behind it")
        return Range(number, end)

    def _place_without_number(self) -> Place:
        if self._take(":"):
            end = self._number()
            if end is not None:
                raise self._error(f"the range :{end} has no start; write 0:{end}")
            return Range()
        word = self._word()
        if word == EACH:
            return Each()
        if word is not None:
            raise self._error(f"{word} cannot stand for one axis")
        rest = self._rest()
        if not rest or rest[0] in ",)":
            raise self._error("an index or a name is missing" + self._before_rest())
        if rest[0] == "-":
            raise self._error("indices are counted from 0 and have no sign")
        raise self._unknown(rest)

    def _name(self) -> Name | None:
        """Read a quoted name, or the longest known one that the text goes on with."""
        quoted = _QUOTED.match(self._text, self._skipped())
        if quoted:
            self._at = quoted.end()
            return Name(quoted[1].replace('""', '"'))
        start = self._at
        fitting = [
            name
            for name in self._names
            if name and self._text.startswith(name, start) and _END.match(self._text, start + len(name))
        ]
        for name in sorted(fitting, key=len, reverse=True):
            if not _is_of_the_grammar(name):
                self._at = start + len(name)
                return Name(name)
        return None

    def _number(self) -> int | None:
        found = _NUMBER.match(self._text, self._skipped())
        if not found:
            return None
        self._at = found.end()
        return whole_number(found[0])

    def _word(self) -> str | None:
        """Read a word of the grammar; none where a longer word begins."""
        start = self._skipped()
        for word in _WORDS:
            behind = self._text[start + len(word) : start + len(word) + 1]
            if self._text.startswith(word, start) and not (behind.isalnum() or behind == "_"):
                self._at = start + len(word)
                return word
        return None

    # ---- letters

    def _skipped(self) -> int:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._at

    def _rest(self) -> str:
        return self._text[self._skipped() :]

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._skipped()):
            return False
        self._at += len(sign)
        return True

    def _before_rest(self) -> str:
        rest = self._rest()
        return f" before {_shown(rest)}" if rest else " at the end"

    def _error(self, why: str) -> ValueError:
        return ValueError(
            f"{_shown(self._text)} is no target: {why} (3, a name, (50,1), mean(0:10,1), 3-1, all, counts, "
            "profile: docs/targets.md)"
        )

    def _unknown(self, rest: str) -> ValueError:
        word = re.split(r"[,()]", rest, maxsplit=1)[0].strip() or rest[:1]
        if not self._names:
            known = "the model's file names no classes; --labels FILE does"
        else:
            near = difflib.get_close_matches(word, [*self._names, *_WORDS], 3, 0.6)
            known = f"perhaps {' or '.join(near)}" if near else f"{len(self._names):,} names are known"
            known += "; a name with other signs than letters and digits may need quotes"
        return ValueError(f"{_shown(self._text)} is no target: {_shown(word)} is no known name ({known})")


def _is_of_the_grammar(name: str) -> bool:
    """Return whether a name reads as a target without names, so that the name has to be quoted."""
    try:
        _Parser(name, ()).targets()
    except ValueError:
        return False
    return True
