"""What decides, besides the length of the sequences, which records of an input are scored."""

from dataclasses import dataclass

from deeplift_cli.sequences.renaming import Renaming, read_renaming


@dataclass(frozen=True)
class Selection:
    """The options of the command line that an input is read by.

    Attributes
    ----------
    chroms : tuple of str, or None
        Regions on other chromosomes are left out; None leaves none out.
    renaming : Renaming or None
        Translates the regions' names of chromosomes.
    fit : bool
        FASTA records of another length are cut about their centre, or padded with N; otherwise they are
        skipped.
    """

    chroms: tuple[str, ...] | None = None
    renaming: Renaming | None = None
    fit: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from others, as values whose `repr` lasts."""
        return (self.chroms, None if self.renaming is None else self.renaming.identity, self.fit)

    def translated(self, name: str) -> str:
        """A chromosome's name as the genome spells it."""
        return name if self.renaming is None else self.renaming.translate(name)


EVERYTHING = Selection()


def make_selection(
    *, chroms: tuple[str, ...] | None = None, rename_chroms: str | None = None, fit: bool = False
) -> Selection:
    """Return the selection that options mean; names are those of the command line, or of `Selection`.

    Raises
    ------
    UserError
        If the file of `--rename-chroms` cannot be used.
    """
    renaming = None if rename_chroms is None else read_renaming(rename_chroms)
    return Selection(chroms, renaming, fit)
