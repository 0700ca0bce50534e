"""The choice of the records to score: all options that decide it, except the length of the sequences."""

from dataclasses import dataclass, replace

from deeplift_cli.sequences.encode import count_bases
from deeplift_cli.sequences.renaming import Renaming, read_renaming
from deeplift_cli.sequences.sampling import Sample


@dataclass(frozen=True)
class Selection:
    """The options of the command line that decide which records of an input are scored.

    Attributes
    ----------
    chroms : tuple of str, or None
        The chosen chromosomes; regions on other chromosomes are left out. None chooses all.
    renaming : Renaming or None
        Translates the regions' names of chromosomes.
    fit : bool
        True to cut FASTA records of another length around their centre, or pad them with N; false to skip
        them.
    pad : bool
        True to pad windows that pass an end of their chromosome with N; false to skip them.
    max_n : float or None
        The largest allowed fraction of letters that are no base, padding included; other sequences are
        skipped.
    sample : Sample or None
        The records to draw of those on the chosen chromosomes; other records are left out. None takes all.
    """

    chroms: tuple[str, ...] | None = None
    renaming: Renaming | None = None
    fit: bool = False
    pad: bool = False
    max_n: float | None = None
    sample: Sample | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """Values that are equal for equal selections only, and whose `repr` is stable."""
        renaming = None if self.renaming is None else self.renaming.identity
        sample = None if self.sample is None else (self.sample.size, self.sample.seed)
        return (self.chroms, renaming, self.fit, self.pad, self.max_n, sample)

    @property
    def of_the_whole(self) -> "Selection":
        """The same selection without drawing a sample."""
        return replace(self, sample=None)

    def translated(self, name: str) -> str:
        """Return a chromosome's name in the genome's spelling."""
        return name if self.renaming is None else self.renaming.translate(name)

    def reason_in_bases(self, letters: bytes, where: str) -> str | None:
        """Return why a sequence has too few bases, as the end of a sentence that begins with its name.

        Parameters
        ----------
        letters : bytes
            The letters in upper case.
        where : str
            The place of the letters in the message, such as "among its 24 letters".

        Returns
        -------
        str or None
            The value is None if the sequence has enough bases.
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
    sample: Sample | None = None,
) -> Selection:
    """Return the selection of some options, named as on the command line or in `Selection`.

    Raises
    ------
    UserError
        If the file of `--rename-chroms` cannot be used.
    """
    renaming = None if rename_chroms is None else read_renaming(rename_chroms)
    return Selection(chroms, renaming, fit, edge == "pad", max_n, sample)
