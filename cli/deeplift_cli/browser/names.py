"""Names of files in the browser's folder, and names of tracks."""

from collections.abc import Iterable

from deeplift_cli.outputs.publish import plain_name


def file_names(stems: Iterable[str], suffix: str, taken: set[str]) -> list[str]:
    """Return one file name for each stem, all different, of letters that need no quotes in a URL.

    Parameters
    ----------
    stems : iterable of str
        Names of files without their suffixes.
    suffix : str
        The suffix of all the names, with its dot.
    taken : set of str
        Names in lower case that are in use; the new names are added.
    """
    found = list[str]()
    for stem in stems:
        plain = plain_name(stem) or "track"
        name, number = f"{plain}{suffix}", 1
        while name.lower() in taken:  # some file systems do not tell capital letters from small ones
            number += 1
            name = f"{plain}_{number}{suffix}"
        taken.add(name.lower())
        found.append(name)
    return found
