"""The values of a bigWig along the x axis."""

from pathlib import Path

import numpy as np

from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.tracks.signal import Signal
from deeplift_cli.outputs.bigwig_values import bigwig_values


def read_bigwig(path: Path, coordinates: Coordinates) -> Signal:
    """Return the values of a bigWig, base by base; bases without a value are gaps.

    Raises
    ------
    UserError
        If the file cannot be read, or has no such chromosome.
    """
    shown = coordinates.shown
    (values,) = bigwig_values(path, [(shown.chrom, shown.start, shown.end)])
    return Signal(path.name, np.arange(shown.start, shown.end + 1), values[None])
