"""Short lists of module names: layers.0.conv to layers.7.conv become layers.0-7.conv."""

import re
from collections.abc import Iterable

# A number without leading zeros; a number with leading zeros is text, since its spelling would be lost.
_NUMBER = re.compile(r"(?<!\d)(0|[1-9]\d*)(?!\d)")

_Token = str | frozenset[int]


def collapse(names: Iterable[str]) -> list[str]:
    """Join names that differ only in numbers; the result stands for the given names and no others.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of str
        The joined names in the order of first appearance; numbers are joined as "0-7" or "0,2,5-6".
    """
    patterns = list(dict.fromkeys(_tokens(name) for name in names))
    longest = max(map(len, patterns), default=0)
    for place in reversed(range(longest)):
        patterns = _joined(patterns, place)
    return ["".join(map(_text, pattern)) for pattern in patterns]


def _tokens(name: str) -> tuple[_Token, ...]:
    """Split a name into text at even places and numbers at odd places."""
    parts = _NUMBER.split(name)
    return tuple(frozenset([int(part)]) if place % 2 else part for place, part in enumerate(parts))


def _joined(patterns: list[tuple[_Token, ...]], place: int) -> list[tuple[_Token, ...]]:
    """Join the patterns that are equal but for the numbers at one place."""
    groups: dict[object, tuple[_Token, ...]] = {}
    for pattern in patterns:
        token = pattern[place] if place < len(pattern) else None
        if not isinstance(token, frozenset):
            groups[pattern] = pattern
            continue
        key = (pattern[:place], pattern[place + 1 :])
        known = groups.get(key)
        other = known[place] if known else frozenset[int]()
        assert isinstance(other, frozenset)
        groups[key] = (*pattern[:place], token | other, *pattern[place + 1 :])
    return list(groups.values())


def _text(token: _Token) -> str:
    if isinstance(token, str):
        return token
    runs: list[list[int]] = []
    for number in sorted(token):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
