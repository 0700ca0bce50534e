"""A small genome, windows and bigWigs of known values, for tests of `deeplift browser`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pybigtools
from numpy.typing import NDArray
from small_models import deeplift, random_letters

from deeplift_cli.browser.server import open_server
from deeplift_cli.outputs.bigwig_order import move_chromosomes_forward

WINDOW = 200
SIZES = {"chr1": 9_000, "chr2": 5_000, "HLA-A*01:01": 700, "chr3": 400}
WINDOWS = [  # the first two are 2,100 bp apart, so that their letters touch nowhere
    ("chr1", 1_500, "first"),
    ("chr1", 3_800, "second"),
    ("chr1", 3_900, "overlapping"),
    ("chr2", 4_700, "at the end"),
    ("HLA-A*01:01", 300, "colon"),
]


@dataclass(frozen=True)
class Inputs:
    """Files, letters of each chromosome, and values of each chromosome (NaN where there is none)."""

    genome: Path
    bigwig: Path
    windows: Path
    letters: dict[str, str]
    values: dict[str, NDArray[np.float32]]

    def browse(self, out: Path | str, *further: object) -> object:
        """Run `deeplift browser`, which has to succeed, and return its outcome."""
        done = deeplift("browser", self.bigwig, "-g", self.genome, "-o", out, *further)
        assert done.code == 0, done.err
        return done


def write_inputs(
    folder: Path, sizes: dict[str, int] = SIZES, windows: list[tuple[str, int, str]] = WINDOWS
) -> Inputs:
    """Write all files; values are such that letters of all bases point up and down."""
    letters = {name: random_letters(seed, size) for seed, (name, size) in enumerate(sizes.items())}
    (folder / "genome.fa").write_text(
        "".join(
            f">{name}\n" + "".join(f"{text[i : i + 70]}\n" for i in range(0, len(text), 70))
            for name, text in letters.items()
        )
    )
    values = {name: np.full(size, np.nan, np.float32) for name, size in sizes.items()}
    rng = np.random.default_rng(3)
    for chrom, start, _ in windows:
        values[chrom][start : start + WINDOW] = rng.normal(0, 1, WINDOW)
    bases = (
        (chrom, i, i + 1, float(value))
        for chrom in sorted(values)
        for i, value in enumerate(values[chrom])
        if not np.isnan(value)
    )
    pybigtools.open(str(folder / "scores.bw"), "w").write(dict(sorted(sizes.items())), bases)
    move_chromosomes_forward(folder / "scores.bw")
    (folder / "scores.bed").write_text(
        "".join(f"{c}\t{s}\t{s + WINDOW}\t{name}\t0\t.\t1\t-1\t-1\t{WINDOW // 2}\n" for c, s, name in WINDOWS)
    )
    return Inputs(folder / "genome.fa", folder / "scores.bw", folder / "scores.bed", letters, values)


@contextmanager
def serving(folder: Path | str) -> Iterator[int]:
    """Serve a folder on another thread, and give the port."""
    with open_server(Path(folder), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
