"""Parser of whole numbers that the user types, and their bounds."""

LARGEST_BATCH = 2**24  # rows

_MOST_DIGITS = 4000  # Python converts at most 4,300 digits, and its message for more is not for users


def whole_number(text: str) -> int:
    """Return the number in a text that consists of decimal digits only.

    Raises
    ------
    ValueError
        If the text holds anything but digits, or more than 4,000 digits.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits is too large")
    return int(text)
