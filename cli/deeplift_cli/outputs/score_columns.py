"""The datasets of a score file while they are written, in a file of their own or in a group of a file."""

from collections.abc import Mapping
from concurrent.futures import Executor

import h5py

from deeplift_cli.outputs.checksums import OrderedDigest
from deeplift_cli.outputs.columns import ArrayColumn, TextColumn
from deeplift_cli.outputs.datasets import REGION_KEYS, ScoreLayout
from deeplift_cli.outputs.packed import PackedBatch


class ScoreColumns:
    """All datasets of `ScoreLayout`, which grow batch by batch.

    Parameters
    ----------
    group : h5py.Group
        A file or an empty group.
    layout : ScoreLayout
    pool : Executor
        The threads that compress chunks.
    digests : mapping of str to OrderedDigest
        The digests of all values of the wide datasets that are going to be appended, where they are known.
    """

    def __init__(
        self, group: h5py.Group, layout: ScoreLayout, pool: Executor, digests: Mapping[str, OrderedDigest]
    ) -> None:
        datasets = layout.create(group)
        self._most = layout.batch_size
        self._arrays = {
            name: ArrayColumn(dataset, pool, digests.get(name))
            for name, dataset in datasets.items()
            if not name.startswith("regions/")
        }
        self._regions = {key: _region_column(datasets[f"regions/{key}"], pool) for key in REGION_KEYS}

    def append(self, batch: PackedBatch) -> None:
        """Add a batch of at most K rows.

        While all batches before had K rows, compressed chunks are stored unchanged. After a batch with fewer
        rows, each row is compressed again in its chunk, so that the datasets do not depend on the batches.

        Raises
        ------
        ValueError
            If the batch has more than K rows, or a chunk is damaged.
        """
        rows = len(batch.regions)
        if rows > self._most:
            raise ValueError(f"a batch has {rows} rows, not at most {self._most}")
        for name, chunks in batch.chunks.items():
            self._arrays[name].append_deflated(chunks, rows)
        for name, values in batch.numbers.items():
            self._arrays[name].append(values)
        for key in REGION_KEYS:
            self._regions[key].append([getattr(region, key) for region in batch.regions])

    def finish(self) -> None:
        """Write the rows that fill no chunk yet, and the checksums; no row can be added any more."""
        for column in (*self._arrays.values(), *self._regions.values()):
            column.finish()


def _region_column(dataset: h5py.Dataset, pool: Executor) -> ArrayColumn | TextColumn:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    return TextColumn(dataset) if is_text else ArrayColumn(dataset, pool)
