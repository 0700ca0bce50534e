"""Time dinucleotide shuffles against tangermeme's, alternating in one run, one thread each.

    python benchmarks/shuffle.py [--sequences 500] [--references 20] [--length 2114] [--rounds 7]
                                    [--batch 32]

Both turn one-hot sequences into one-hot shuffles, ours float32 and tangermeme's int8 (it keeps the type of
its input), four times less to write. Each is timed on all sequences in one call, and in batches as when
scoring. The kernels are compiled before the clock starts. The last column is the number of different shuffles
of ACAGATACCA, which has 24, in 2,000 draws.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import cycle

import numpy as np
import numpy.typing as npt
import torch
from tangermeme.ersatz import dinucleotide_shuffle

from deeplift_references import make

Sequences = npt.NDArray[np.int8]
Shuffler = Callable[[Sequences, int], npt.NDArray[np.generic]]


def ours(sequences: Sequences, n: int) -> npt.NDArray[np.generic]:
    """Shuffle one-hot sequences [N, 4, L] with this package: [N, n, 4, L]."""
    return make("dinucleotide", n_references=n)(sequences)


def tangermeme(sequences: Sequences, n: int) -> npt.NDArray[np.generic]:
    """Shuffle one-hot sequences [N, 4, L] with tangermeme: [N, n, 4, L]."""
    shuffled: npt.NDArray[np.generic] = dinucleotide_shuffle(
        torch.from_numpy(sequences), n=n, random_state=0
    ).numpy()
    return shuffled


def encode(codes: npt.NDArray[np.int64]) -> Sequences:
    """Codes [N, L] of bases as one-hot [N, 4, L]."""
    return np.ascontiguousarray(np.eye(4, dtype=np.int8)[codes].transpose(0, 2, 1))


def seconds(shuffle: Shuffler, sequences: Sequences, n: int, batch: int) -> tuple[float, float]:
    """Wall-clock and processor time of shuffling all sequences, a batch at a time."""
    wall, processor = time.perf_counter(), time.process_time()
    for start in range(0, len(sequences), batch):
        shuffle(sequences[start : start + batch], n)
    return time.perf_counter() - wall, time.process_time() - processor


def distinct(shuffle: Shuffler) -> int:
    """How many different shuffles of ACAGATACCA 2,000 draws reach."""
    sequence = encode(np.array([["ACGT".index(base) for base in "ACAGATACCA"]]))
    return len(np.unique(shuffle(sequence, 2000)[0], axis=0))


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description="Time dinucleotide shuffles.")
    for name, default in [
        ("sequences", 500),
        ("references", 20),
        ("length", 2114),
        ("rounds", 7),
        ("batch", 32),
    ]:
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sequences = encode(np.random.default_rng(0).integers(0, 4, (options.sequences, options.length)))
    cases = [
        (name, shuffle, batch)
        for batch in (options.sequences, options.batch)
        for name, shuffle in (("deeplift", ours), ("tangermeme", tangermeme))
    ]
    reached = {name: distinct(shuffle) for name, shuffle, _ in cases}  # compiles both, too
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for (name, shuffle, batch), _ in zip(cycle(cases), range(len(cases) * options.rounds), strict=False):
        times.setdefault((name, batch), []).append(seconds(shuffle, sequences, options.references, batch))
    print(
        f"{options.sequences} sequences x {options.references} shuffles x {options.length} bp, "
        f"medians of {options.rounds} rounds"
    )
    print(f"{'':12}{'batch':>7}{'wall s':>9}{'best s':>9}{'CPU s':>9}{'us each':>9}{'distinct of 24':>16}")
    for (name, batch), measured in times.items():
        walls, processors = zip(*measured, strict=True)
        wall = statistics.median(walls)
        each = 1e6 * wall / (options.sequences * options.references)
        print(
            f"{name:12}{batch:7d}{wall:9.3f}{min(walls):9.3f}{statistics.median(processors):9.3f}"
            f"{each:9.1f}{reached[name]:16d}"
        )


if __name__ == "__main__":
    main()
