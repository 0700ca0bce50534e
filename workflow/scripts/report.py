"""The quality control of all score files as one table; run by Snakemake."""

import csv
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

COLUMNS = (
    "sample", "target", "sequences", "skipped", "worst_relative_completeness_error",
    "references_equal_to_their_sequence", "file",
)  # fmt: skip


def row(path: str) -> list[Any]:
    """One line of the table."""
    with h5py.File(path) as scores:
        references = scores["qc/reference_output"].shape
        return [
            Path(path).parent.name,
            Path(path).stem.removeprefix("scores_"),
            references[0],
            scores.attrs["n_skipped"],
            f"{scores.attrs['worst_relative_completeness_error']:.2g}",
            f"{np.sum(scores['qc/identical_references'][:]) / max(1, np.prod(references)):.2%}",
            path,
        ]


def write_table(paths: list[str], table: str) -> None:
    """Write tab-separated text, a line for each score file."""
    with open(table, "w", newline="") as handle:
        lines = csv.writer(handle, delimiter="\t", lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows(row(path) for path in paths)


if __name__ == "__main__":
    job = globals()["snakemake"]  # put there by Snakemake
    sys.stderr = open(job.log[0], "w", buffering=1)  # noqa: SIM115 - to the end of the process
    write_table(list(job.input), job.output[0])
