"""Text from files and names of files, made fit for one line of a terminal."""


def printable(text: str) -> str:
    """Names from files can hold anything; a terminal must not obey what they hold."""
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if text.isprintable() else "".join(shown)
