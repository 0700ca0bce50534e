"""Score files of ready-made batches, for tests of what is written and of what reads it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.export import write_output
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.sequences import Skipped


class BatchFile(ScoreFile):
    """A score file that takes batches as they are scored, one after the other."""

    def add(self, batch: ScoredBatch) -> None:
        with ThreadPoolExecutor(2) as pool:
            self.append(pack(batch, self._layout, pool))


def attributes(layout: ScoreLayout) -> dict[str, Any]:
    """The attributes that every score file has, of a whole job."""
    return {
        "shard": None, "batch_size": layout.batch_size, "fingerprint": {}, "target": 0, "model_sha256": "x",
        "n_skipped": 0, "worst_relative_completeness_error": 0.0,
    }  # fmt: skip


def open_score_file(
    path: Path, layout: ScoreLayout, *, skipped: tuple[Skipped, ...] = (), **options: Any
) -> BatchFile:
    given = {"attrs": attributes(layout), "overwrite": False} | options
    table = path.with_name(f".{path.name}.table")
    with SkippedFile(table) as file:
        for record in skipped:
            file.append(record)
    return BatchFile(path, layout, skipped=table, **given)


def write_bigwig(
    path: Path, scores: Path, sizes: dict[str, int], overlap: str = "nearest-centre", overwrite: bool = False
) -> None:
    write_output("bigwig", path, scores, sizes, {"overlap": overlap}, overwrite=overwrite)


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
