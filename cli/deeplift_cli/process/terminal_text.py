"""Text from files and file names, with control characters escaped so that it fits one line of a terminal."""


def printable(text: str) -> str:
    """Return a text with unprintable characters escaped, since a terminal would obey control characters."""
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if text.isprintable() else "".join(shown)
