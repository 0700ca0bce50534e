"""Checks of the bigWigs that a browser is to show."""

from collections.abc import Mapping
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.sequences.names import ChromosomeNames
from deeplift_cli.sequences.text import require_file

_WHAT = "bigWig"


def require_same_genome(path: Path, found: Mapping[str, int], genome: Path, sizes: Mapping[str, int]) -> None:
    """Check that the chromosomes of a bigWig are those of the genome.

    Parameters
    ----------
    path : Path
        The bigWig, for messages.
    found : mapping of str to int
        Length of each chromosome of the bigWig in bp.
    genome : Path
        The genome's file, for messages.
    sizes : mapping of str to int
        Length of each chromosome of the genome in bp.

    Raises
    ------
    UserError
        If the bigWig has no chromosome of the genome, or a chromosome with another length.
    """
    common = found.keys() & sizes.keys()
    if not common:
        some = next(iter(found), "")
        compared = ChromosomeNames(sizes).compare(some, "the bigWig has", "the genome has")
        raise UserError(f"{_WHAT} {path} and genome {genome} have no chromosome in common: {compared}")
    for name in sorted(common):
        if found[name] != sizes[name]:
            raise UserError(
                f"{_WHAT} {path} gives {name} {found[name]:,} bp, and genome {genome} {sizes[name]:,} bp; "
                "give the genome from which the scores were made"
            )


def bigwig_chromosomes(path: Path) -> dict[str, int]:
    """Return the length in bp of each chromosome of a bigWig.

    Raises
    ------
    UserError
        If the file cannot be read, or is no bigWig.
    """
    import pybigtools

    require_file(path, _WHAT)
    try:
        with pybigtools.open(str(path)) as file:
            if not file.is_bigwig:
                raise UserError(f"{path} is a bigBed, not a bigWig; annotations are given by --bed, as text")
            return dict(file.chroms())
    except (pybigtools.BBIReadError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a bigWig: {error}{look_alike(path)}") from error
