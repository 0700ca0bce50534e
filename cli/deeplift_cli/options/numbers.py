"""Whole numbers that the user types, and their bounds."""

LARGEST_BATCH = 2**24  # rows

_MOST_DIGITS = 4000  # Python converts no more than 4,300, and says so in its own words


def whole_number(text: str) -> int:
    """The number that decimal digits, and nothing else, stand for.

    Raises
    ------
    ValueError
        If there is anything else, or more than 4,000 digits.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits is too large")
    return int(text)
