"""The values of a bigWig along the x axis."""

import warnings
from pathlib import Path

import numpy as np

from deeplift_cli.errors import UserError
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.tracks.signal import Signal
from deeplift_cli.sequences.names import ChromosomeNames
from deeplift_cli.sequences.text import require_file

_ENDINGS = (".bw", ".bigwig")  # by which pybigtools tells a bigWig from other files


def read_bigwig(path: Path, coordinates: Coordinates) -> Signal:
    """Return the values of a bigWig, base by base; bases without a value are gaps.

    Raises
    ------
    UserError
        If the file cannot be read, or has no such chromosome.
    """
    import pybigtools

    require_file(path, "bigWig")
    if path.suffix.lower() not in _ENDINGS:
        raise UserError(f"bigWig {path} cannot be read: its name must end in {' or '.join(_ENDINGS)}")
    shown = coordinates.shown
    values = np.full(shown.end - shown.start, np.nan)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pybigtools announces a new default
            with pybigtools.open(str(path)) as file:
                sizes = file.chroms()
                if shown.chrom not in sizes:
                    said = ChromosomeNames(sizes).compare(shown.chrom, "the score file has", f"{path} has")
                    raise UserError(said)
                first, last = max(0, shown.start), min(shown.end, sizes[shown.chrom])
                if first < last:
                    found = np.asarray(file.values(shown.chrom, first, last), np.float64)
                    values[first - shown.start : last - shown.start] = found
    except UserError:
        raise
    except BaseException as error:
        # Damaged files raise exceptions of several types, and panics, which are no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"bigWig {path} cannot be read: {error}; is it damaged?") from error
    return Signal(path.name, np.arange(shown.start, shown.end + 1), values[None])
