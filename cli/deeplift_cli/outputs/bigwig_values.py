"""The values of a bigWig that comes from the user."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.sequences.names import ChromosomeNames
from deeplift_cli.sequences.text import require_file

_ENDINGS = (".bw", ".bigwig")  # by which pybigtools tells a bigWig from other files


def bigwig_values(path: Path, places: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[np.float64]]:
    """Return the values of a bigWig at some places, base by base.

    Parameters
    ----------
    path : Path
    places : sequence of (str, int, int)
        Chromosome, start and end of each place, 0-based and half-open; a place may lie over the end of its
        chromosome.

    Returns
    -------
    list of array [end - start]
        The value is NaN where a base has no value.

    Raises
    ------
    UserError
        If the file cannot be read, or has no chromosome of one of these names.
    """
    import pybigtools

    require_file(path, "bigWig")
    if path.suffix.lower() not in _ENDINGS:
        raise UserError(f"bigWig {path} cannot be read: its name must end in {' or '.join(_ENDINGS)}")
    found = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pybigtools announces a new default
            with pybigtools.open(str(path)) as file:
                sizes = file.chroms()
                for chrom, start, end in places:
                    if chrom not in sizes:
                        compared = ChromosomeNames(sizes).compare(chrom, "the score file has", f"{path} has")
                        raise UserError(
                            f"chromosomes have other names: {compared}; write {path} with the names of the "
                            "score file"
                        )
                    values = np.full(end - start, np.nan)
                    first, last = max(0, start), min(end, sizes[chrom])
                    if first < last:
                        part = np.asarray(file.values(chrom, first, last), np.float64)
                        values[first - start : last - start] = part
                    found.append(values)
    except UserError:
        raise
    except BaseException as error:
        # Damaged files raise exceptions of several types, and panics, which are no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"bigWig {path} cannot be read: {error}; is it damaged?") from error
    return found
