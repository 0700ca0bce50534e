"""The number of each letter in a model's tokenizer: `--token-ids A=7,C=8,G=9,T=10,N=11`."""

import re

EXAMPLE = "--layout ids --token-ids A=7,C=8,G=9,T=10"
_ITEM = re.compile(r"\s*([ACGTUN])\s*=\s*(-?\d{1,9})\s*", re.IGNORECASE)

TokenIds = tuple[tuple[str, int], ...]


def parse_token_ids(text: str) -> TokenIds:
    """Parse letters and their numbers.

    Parameters
    ----------
    text : str
        A, C, G and T (or U) in any order, and N where the model has a token for N.

    Returns
    -------
    tuple of (str, int)
        The letters and their numbers, in the order A, C, G, T, N.

    Raises
    ------
    ValueError
        If the text is something else, a letter is missing or comes twice, or two letters have one number.
    """
    found = dict[str, int]()
    for item in text.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None:
            raise ValueError(f"{item[:40]!r} is not LETTER=NUMBER, as in A=7,C=8,G=9,T=10")
        letter = parts[1].upper().replace("U", "T")
        if letter in found:
            raise ValueError(f"the letter {letter} has two numbers")
        found[letter] = int(parts[2])
    missing = [letter for letter in "ACGT" if letter not in found]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must have a number each, as in A=7,C=8,G=9,T=10")
    if len(set(found.values())) < len(found):
        raise ValueError("two letters have one number")
    return tuple((letter, found[letter]) for letter in "ACGTN" if letter in found)


def token_ids_in_words(token_ids: TokenIds) -> str:
    """Return the text from which `parse_token_ids` gets these numbers."""
    return ",".join(f"{letter}={number}" for letter, number in token_ids)
