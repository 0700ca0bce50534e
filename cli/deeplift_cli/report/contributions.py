"""One pass over the contributions and bases of a score file, batch by batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.read_batch import ReadBatch
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.process.signals import check_stopped
from deeplift_cli.report.packing import BestRows, pack
from deeplift_cli.sequences.records import Region

_SEQUENCE, _CONTRIBUTIONS = "raw/seq", "projected_shap/seq"


@dataclass(frozen=True)
class Contributions:
    """What the pass found.

    Attributes
    ----------
    mean, mean_size : ndarray, [L]
        The mean over all sequences of the contribution of each position, and of its absolute value; a
        position without a base counts as 0.
    bases : ndarray of int, [4, L]
        How many sequences have A, C, G and T at each position.
    root_mean_square : ndarray, [N]
        The root mean square over positions of each row's contributions.
    regions : dict of int to Region
        The regions of the wanted rows.
    best : BestRows
        The packed rows that fit.
    """

    mean: npt.NDArray[np.float64]
    mean_size: npt.NDArray[np.float64]
    bases: npt.NDArray[np.int64]
    root_mean_square: npt.NDArray[np.float64]
    regions: dict[int, Region]
    best: BestRows


def read_contributions(
    reader: ScoreReader,
    ranks: Mapping[int, int],
    limit: int,
    progress: Callable[[int, int], None],
) -> Contributions:
    """Read contributions and bases of all rows, and pack those of the best ranks.

    Beside the packed rows, one batch is in memory at a time.

    Parameters
    ----------
    reader : ScoreReader
    ranks : mapping of int to int
        The rows that the page lists, and the rank of each, from 0; logos of low ranks come first.
    limit : int
        Bytes that packed rows may take together.
    progress : callable
        Takes the numbers of rows that are read, and of all rows.

    Raises
    ------
    UserError
        If the file is damaged; all values are compared with their checksums.
    """
    length = reader.layout.length
    total, total_size = np.zeros(length), np.zeros(length)
    bases = np.zeros((4, length), np.int64)
    root_mean_square = np.zeros(reader.n_rows)
    regions: dict[int, Region] = {}
    best = BestRows(limit)
    with compressing_threads() as pool:
        for batch in reader.batches(pool, wide=(_SEQUENCE, _CONTRIBUTIONS)):
            check_stopped()
            sequences = batch.values(_SEQUENCE)
            values = batch.values(_CONTRIBUTIONS).sum(axis=1, dtype=np.float32)
            total += values.sum(axis=0, dtype=np.float64)
            total_size += np.abs(values).sum(axis=0, dtype=np.float64)
            bases += sequences.sum(axis=0, dtype=np.int64)
            root_mean_square[batch.rows] = np.sqrt(np.square(values, dtype=np.float64).mean(axis=1))
            _take(batch, sequences, values, ranks, regions, best)
            progress(batch.rows.stop, reader.n_rows)
    rows = max(1, reader.n_rows)
    return Contributions(total / rows, total_size / rows, bases, root_mean_square, regions, best)


def _take(
    batch: ReadBatch,
    sequences: npt.NDArray[np.int8],
    values: npt.NDArray[np.float32],
    ranks: Mapping[int, int],
    regions: dict[int, Region],
    best: BestRows,
) -> None:
    """Keep the regions of a batch that are wanted, and their contributions while they fit."""
    for place, region in enumerate(batch.regions):
        row = batch.rows.start + place
        if row not in ranks:
            continue
        regions[row] = region
        if best.wants(ranks[row]):
            best.add(ranks[row], pack(sequences[place], values[place]))
