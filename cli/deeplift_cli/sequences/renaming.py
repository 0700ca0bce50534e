"""Translation of chromosome names in regions to the genome's names: `--rename-chroms`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.options.chromosome_styles import STYLES
from deeplift_cli.process.file_digest import file_digest
from deeplift_cli.sequences.names import name_fault
from deeplift_cli.sequences.text import columns_of, open_text, short_lines, shorten

_WHAT = "file of chromosome names"


@dataclass(frozen=True)
class Renaming:
    """A translation of chromosome names.

    Attributes
    ----------
    identity : str
        A text that is equal for equal translations only; a file counts by its content.
    translate : callable
        Returns a name's translation, or the name itself if it has none.
    """

    identity: str
    translate: Callable[[str], str]


def read_renaming(given: str) -> Renaming:
    """Return the translation that `--rename-chroms` names.

    Parameters
    ----------
    given : str
        "ucsc" (1 becomes chr1, MT becomes chrM), "ensembl" (the other way), or the path of a file.

    Raises
    ------
    UserError
        As `read_names`.
    """
    if given in STYLES:
        return Renaming(given, STYLES[given])
    names = read_names(Path(given))
    return Renaming(f"sha256:{file_digest(Path(given))}", lambda name: names.get(name, name))


def read_names(path: Path) -> dict[str, str]:
    """Read a name and its translation from the first two columns; further ones are ignored.

    Raises
    ------
    UserError
        If the file cannot be read or holds no name; with the line's number, if a line has a single column, an
        empty name, a name with control characters, a name that an earlier line translates otherwise, or more
        than a million characters.
    """
    names = dict[str, str]()
    with open_text(path, _WHAT) as file:
        for number, line in short_lines(file, f"{_WHAT} {path}"):
            columns = columns_of(line)
            if not any(columns) or line.lstrip("\ufeff").startswith("#"):
                continue
            where = f"{_WHAT} {path}, line {number}"
            if len(columns) < 2 or not all(columns[:2]):
                raise UserError(
                    f"{where} has one name; it needs two columns: the name in the regions, that in the genome"
                )
            theirs, ours = columns[:2]
            if fault := name_fault(theirs, ours):
                raise UserError(f"{where} {fault}")
            if names.setdefault(theirs, ours) != ours:
                raise UserError(
                    f"{where} translates {shorten(theirs)} to {shorten(ours)}, an earlier line to "
                    f"{shorten(names[theirs])}"
                )
    if not names:
        raise UserError(f"{_WHAT} {path} holds no names")
    return names


def fitting_style(names: Iterable[str], known: Mapping[str, object]) -> str | None:
    """Return the style that translates one of these names to a known name; None if there is none."""
    unknown = list(names)
    return next(
        (style for style, translate in STYLES.items() if any(translate(name) in known for name in unknown)),
        None,
    )
