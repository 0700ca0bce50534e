"""Score files of ready-made batches, for tests of what is written and of what reads it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.sequences import Skipped


class BatchFile(ScoreFile):
    """A score file that takes batches as they are scored, one after the other."""

    def add(self, batch: ScoredBatch) -> None:
        with ThreadPoolExecutor(2) as pool:
            self.append(pack(batch, self._layout, pool))


def open_score_file(
    path: Path, layout: ScoreLayout, *, skipped: tuple[Skipped, ...] = (), **options: Any
) -> BatchFile:
    table = path.with_name(f".{path.name}.table")
    with SkippedFile(table) as file:
        for record in skipped:
            file.append(record)
    return BatchFile(path, layout, skipped=table, **({"attrs": {}, "overwrite": False} | options))


def datasets(path: str | Path) -> dict[str, Any]:
    """All datasets, as bytes or lists of texts."""
    found: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (
                list(item[:]) if item.dtype == object else (item.dtype, item.shape, item[:].tobytes())
            )

    with h5py.File(path) as file:
        file.visititems(take)
    return found
