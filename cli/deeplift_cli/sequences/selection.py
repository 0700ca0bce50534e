"""What decides, besides the length of the sequences, which records of an input are scored."""

from dataclasses import dataclass

from deeplift_cli.sequences.encode import count_bases
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
    pad : bool
        Windows that pass an end of their chromosome are padded with N; otherwise they are skipped.
    max_n : float or None
        Sequences are skipped where the share of letters that are no base, padding included, is larger.
    """

    chroms: tuple[str, ...] | None = None
    renaming: Renaming | None = None
    fit: bool = False
    pad: bool = False
    max_n: float | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from others, as values whose `repr` lasts."""
        renaming = None if self.renaming is None else self.renaming.identity
        return (self.chroms, renaming, self.fit, self.pad, self.max_n)

    def translated(self, name: str) -> str:
        """A chromosome's name as the genome spells it."""
        return name if self.renaming is None else self.renaming.translate(name)

    def reason_in_bases(self, letters: bytes, where: str) -> str | None:
        """Why a sequence has too few bases, as the end of a sentence that begins with its name.

        Parameters
        ----------
        letters : bytes
            Upper case.
        where : str
            What has them, such as "among its 24 letters".

        Returns
        -------
        str or None
            None where there are enough.
        """
        n_bases = count_bases(letters)
        if not n_bases:
            return f"has no base (A, C, G or T) {where}"
        others = len(letters) - n_bases
        if self.max_n is not None and others / len(letters) > self.max_n:
            return (
                f"has {others:,} letters that are no base (A, C, G or T) {where}, a share of "
                f"{others / len(letters):.3g}, above --max-n {self.max_n:g}"
            )
        return None


EVERYTHING = Selection()


def make_selection(
    *,
    chroms: tuple[str, ...] | None = None,
    rename_chroms: str | None = None,
    fit: bool = False,
    edge: str = "skip",
    max_n: float | None = None,
) -> Selection:
    """Return the selection that options mean; names are those of the command line, or of `Selection`.

    Raises
    ------
    UserError
        If the file of `--rename-chroms` cannot be used.
    """
    renaming = None if rename_chroms is None else read_renaming(rename_chroms)
    return Selection(chroms, renaming, fit, edge == "pad", max_n)
