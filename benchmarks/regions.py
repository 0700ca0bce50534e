"""Measure jobs of many short regions: microseconds each, memory, and what they write.

    python benchmarks/regions.py [--markdown docs/hpc.md] [--regions 10000 100000] [--length 100]

The whole command, with a model that costs next to nothing (one dense layer on pooled sequences), one
reference for all (`--reference frequency`) and regions of a genome of random letters. What is left is the
time of a region as such, to which a model's own time is added. The memory shows whether anything grows with
the number of regions. `--markdown` puts the table into that page, between its two marks.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does, before torch is imported

import h5py
import numpy as np
import torch
from pages import insert, table
from pipeline import peak
from torch import Tensor, nn

CHROMOSOMES = {"chr1": 12_000_000, "chr2": 8_000_000}
LINE = 60
BATCH = 512


class Cheap(nn.Module):
    """One dense layer on pooled sequences."""

    def __init__(self, length: int) -> None:
        super().__init__()
        width = max(length // 5, 1)
        self.pool = nn.AvgPool1d(width)
        self.dense = nn.Linear(4 * (length // width), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.pool(x).flatten(1))


def write_model(path: Path, length: int) -> None:
    """The model as TorchScript, with weights from a seed."""
    torch.manual_seed(0)
    torch.jit.trace(Cheap(length).eval(), torch.zeros(2, 4, length)).save(str(path))


def write_genome(path: Path) -> None:
    """Random letters in lines, as genomes come."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for name, length in CHROMOSOMES.items():
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (length // LINE, LINE))]
            lines = np.column_stack([letters, np.full(len(letters), ord("\n"), np.uint8)])
            file.write(b">%s\n%s" % (name.encode(), lines.tobytes()))


def write_regions(path: Path, n: int, length: int) -> None:
    """Sorted regions anywhere in the genome; they overlap where there are many."""
    rng = np.random.default_rng(1)
    first, *_ = CHROMOSOMES
    share = CHROMOSOMES[first] / sum(CHROMOSOMES.values())
    with path.open("w") as file:
        for name, size in CHROMOSOMES.items():
            count = round(n * share) if name == first else n - round(n * share)
            starts = np.sort(rng.integers(0, size // LINE * LINE - length, count))
            file.writelines(f"{name}\t{start}\t{start + length}\n" for start in starts.tolist())


def one_job(folder: Path, n: int, length: int) -> tuple[float, float, float, float]:
    """Seconds in all, largest resident memory in MB, bytes a region in the score file and in its BED file."""
    regions, out = folder / "regions.bed", folder / "scores.h5"
    write_regions(regions, n, length)
    started = time.perf_counter()
    used = peak(
        "score", "-q", "-m", folder / "model.pt", "-g", folder / "genome.fa", "-r", regions, "-o", out,
        "--overwrite", "--reference", "frequency", "--batch-size", BATCH, "--compile", "off",
    )  # fmt: skip
    taken = time.perf_counter() - started
    with h5py.File(out) as file:
        assert len(file["regions/start"]) == n
    return taken, used, out.stat().st_size / n, out.with_suffix(".bed").stat().st_size / n


def report(numbers: list[int], length: int) -> str:
    """The table, as markdown."""
    rows = list[list[str]]()
    before = (0, 0.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model.pt", length)
        write_genome(folder / "genome.fa")
        one_job(folder, 1000, length)  # indexes the genome, compiles, fills the page cache
        for n in sorted(numbers):
            print(f"{n:,} regions", file=sys.stderr)
            taken, used, scores, bed = one_job(folder, n, length)
            # Start-up is in both jobs, so it is not in their difference.
            further = (taken - before[1]) / (n - before[0]) if before[0] else None
            before = (n, taken)
            rows.append(
                [
                    f"{n:,}",
                    f"{taken:.1f}",
                    f"{1e6 * taken / n:,.0f}",
                    f"{1e6 * further:,.0f}" if further is not None else "",
                    f"{used:,.0f}",
                    f"{scores:,.0f}",
                    f"{bed:,.0f}",
                ]
            )
    columns = (
        "regions|seconds in all|microseconds each|microseconds for each one more|largest resident memory, MB|"
        "bytes of scores each|bytes of BED each"
    )
    return (
        f"Regions of {length} bp, one reference for all, batches of {BATCH}, one dense layer on pooled "
        f"sequences.\n\n{table(columns, rows)}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure jobs of many short regions.")
    parser.add_argument("--regions", type=int, nargs="+", default=[10_000, 100_000], help="how many")
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--markdown", type=Path, help="page to put the table into")
    options = parser.parse_args()
    text = report(options.regions, options.length)
    print(text)
    if options.markdown:
        insert(options.markdown, text)


if __name__ == "__main__":
    main()
