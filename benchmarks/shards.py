"""Measure what a shard costs beside its scores: CPU seconds of one shard of many, and of what is done once.

    python benchmarks/shards.py [--markdown docs/hpc.md] [--records 300000] [--shards 500]

The script runs whole commands on one thread, with a model that costs next to nothing, on regions of 1,000 bp
of a genome of random letters and on a FASTA file of records of 200 bp. "Without an index" is a shard with a
cache folder that cannot be written, so that it reads the whole input. "A job of its own" is what the shard
would cost if its records were the whole input. `--markdown` puts the table into that page, between its two
marks.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pages import insert, table
from pyfaidx import Faidx
from regions import write_genome, write_model, write_regions

REGION, RECORD = 1000, 200
BATCH = 64
COMMAND = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]


def cpu_seconds(cache: Path, *words: object) -> float:
    """CPU seconds of one command with all its threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*COMMAND, *map(str, words), "-q"],
        env=os.environ | {"DEEPLIFT_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_fasta(path: Path, n: int) -> None:
    """Records of random letters."""
    letters = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(2).integers(0, 4, (n, RECORD))]
    with path.open("wb") as file:
        file.writelines(b">record%d\n%s\n" % (i, row.tobytes()) for i, row in enumerate(letters))


def measure(folder: Path, records: Path, given: list[object], length: int, shards: int) -> list[str]:
    """One line of the table: an input, by the options that name it and by its file of records."""
    write_model(folder / "model.pt", length)
    lines = records.read_text().splitlines(keepends=True)
    share = len(lines) // shards
    small = records.with_name(f"few-{records.name}")
    small.write_text("".join(lines[:share]))
    common = [
        "score", "-m", folder / "model.pt", "-o", folder / "scores.{shard}.h5", "--overwrite",
        "--reference", "frequency", "--batch-size", BATCH, "--compile", "off", "--threads", 1,
    ]  # fmt: skip
    no_cache, cache, other = folder / "model.pt" / "none", folder / "cache", folder / "other"

    def shard(at: Path, number: int) -> str:
        return f"{cpu_seconds(at, *common, *given, '--shard', f'{number}/{shards}'):.1f}"

    few = [small if word == records else word for word in given]
    own = cpu_seconds(cache, *common, *few, "--shard", "1/1")
    prepare = ("prepare", *given, "--length", length)
    return [
        f"{own:.1f}",
        shard(no_cache, 1),
        shard(no_cache, shards),
        f"{cpu_seconds(cache, *prepare):.1f}",
        f"{cpu_seconds(cache, *prepare):.1f}",
        shard(cache, 1),
        shard(cache, shards),
        shard(other, 1),
        f"{sum(file.stat().st_size for file in other.glob(f'{records.name}*')) / 1e6:.1f}",
    ]


def report(n: int, shards: int) -> str:
    """The table, as markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genome, regions, fasta = folder / "genome.fa", folder / "regions.bed", folder / "records.fa"
        write_genome(genome)
        Faidx(str(genome)).close()  # the index beside it, as genomes come
        write_regions(regions, n, REGION)
        write_fasta(fasta, n)
        rows = [
            ("regions", f"{n:,} regions of {REGION:,} bp", regions, ["-g", genome, "-r", regions], REGION),
            ("fasta", f"{n:,} FASTA records of {RECORD} bp", fasta, ["-f", fasta], RECORD),
        ]
        found = []
        for kind, title, records, given, length in rows:
            print(title, file=sys.stderr)
            (folder / kind).mkdir()
            found.append([title, *measure(folder / kind, records, given, length, shards)])
    columns = (
        f"input|a job of its own|without an index, shard 1|the same, shard {shards}|deeplift prepare|"
        f"the same again|with the index, shard 1|the same, shard {shards}|the first task, which makes it|"
        "MB of index"
    )
    return f"CPU seconds of a command, of {shards} shards.\n\n{table(columns, found)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a shard costs beside its scores.")
    parser.add_argument("--records", type=int, default=300_000, help="how many")
    parser.add_argument("--shards", type=int, default=500)
    parser.add_argument("--markdown", type=Path, help="page to put the table into")
    options = parser.parse_args()
    text = report(options.records, options.shards)
    print(text)
    if options.markdown:
        insert(options.markdown, text, "shards")


if __name__ == "__main__":
    main()
