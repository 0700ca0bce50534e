"""The simulated DNA of the example: background sequence with TAL1 and GATA motif instances planted in it.

After Shrikumar et al. 2017 (section 4.2): 200 bp of background with base frequencies 0.3, 0.2, 0.2, 0.3 for
A, C, G, T; a quarter of the sequences carries both motifs, a quarter GATA, a quarter TAL1, a quarter none; a
motif that is present has one to three instances, each drawn base by base from its matrix of counts, on either
strand, at a place where no other instance is. Every draw is integer arithmetic on the raw output of PCG64,
which numpy keeps stable between releases: a seed gives the same sequences on every machine.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALPHABET = "ACGT"
LENGTH = 200
BACKGROUND = (3, 2, 2, 3)
# Weights of 1, 2 and 3 instances: a Poisson number with mean 2, redrawn until it is one of these.
INSTANCES = (3, 3, 2)

# Counts per position, columns A, C, G, T: matrices of the JASPAR CORE vertebrates collection (CC BY 4.0),
# https://jaspar.elixir.no, as in its edition of March 2015.
MOTIFS: dict[str, NDArray[np.int64]] = {
    # MA0035.3 Gata1, ChIP-seq: YYCTTATCTNN, turned at the end to its familiar strand, NNAGATAAGRR
    "GATA": np.array(
        [
            [2035, 4321, 2530, 9069],
            [506, 6406, 2792, 8251],
            [0, 14869, 437, 2649],
            [0, 697, 0, 17258],
            [0, 0, 0, 17955],
            [17955, 0, 0, 0],
            [0, 0, 0, 17955],
            [0, 17955, 0, 0],
            [2166, 0, 0, 15789],
            [2502, 6166, 6687, 2600],
            [1886, 5072, 1598, 9399],
        ]
    )[::-1, ::-1],
    # MA0091.1 TAL1::TCF3, SELEX: NNAMCATCTGKT, the E-box only: the TAL1::GATA1 matrix MA0140 contains GATA
    "TAL1": np.array(
        [
            [13, 14, 8, 9],
            [9, 10, 20, 5],
            [39, 0, 3, 2],
            [20, 24, 0, 0],
            [0, 43, 1, 0],
            [44, 0, 0, 0],
            [0, 1, 11, 32],
            [12, 32, 0, 0],
            [0, 0, 0, 44],
            [0, 0, 43, 1],
            [0, 3, 20, 21],
            [4, 4, 2, 34],
        ]
    ),
}

# The four classes in turn, and the motifs that each carries.
CLASSES: dict[str, tuple[str, ...]] = {
    "both": ("GATA", "TAL1"),
    "gata": ("GATA",),
    "tal1": ("TAL1",),
    "none": (),
}
# The three outputs of the model: is each of these sets of motifs there?
TASKS: dict[str, tuple[str, ...]] = {"both": ("GATA", "TAL1"), "GATA": ("GATA",), "TAL1": ("TAL1",)}


class Planted(NamedTuple):
    """One motif instance: 0-based half-open position, the motif's name and its strand."""

    start: int
    end: int
    motif: str
    strand: str


@dataclass(frozen=True)
class Simulated:
    """One simulated sequence: its name, its bases as indices into ACGT [200], and what was planted."""

    name: str
    bases: NDArray[np.int8]
    planted: tuple[Planted, ...]

    @property
    def letters(self) -> str:
        """The sequence as a string of A, C, G and T."""
        return "".join(ALPHABET[base] for base in self.bases)

    @property
    def labels(self) -> list[bool]:
        """One label per task, in the order of `TASKS`."""
        present = {instance.motif for instance in self.planted}
        return [present.issuperset(wanted) for wanted in TASKS.values()]


class Stream:
    """Weighted choices from a seed, the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def choices(self, weights: Sequence[int] | NDArray[Any], size: int) -> NDArray[np.int64]:
        """Draw `size` indices with probabilities proportional to the integer `weights`."""
        cumulative = np.cumsum(np.asarray(weights, dtype=np.uint64))
        # 32 random bits times the total stay below 2^64, so the scaling is exact.
        scaled = ((self._bits.random_raw(size) >> np.uint64(32)) * cumulative[-1]) >> np.uint64(32)
        return np.searchsorted(cumulative, scaled, side="right").astype(np.int64)

    def choice(self, weights: Sequence[int] | NDArray[Any]) -> int:
        """Draw one index with probability proportional to the integer `weights`."""
        return int(self.choices(weights, 1)[0])


def simulate(number: int, seed: int) -> list[Simulated]:
    """Simulate `number` sequences, the four classes in turn, named seq001_both, seq002_gata and so on."""
    stream = Stream(seed)
    digits = max(3, len(str(number)))
    sequences = []
    for i, label in zip(range(number), itertools.cycle(CLASSES), strict=False):
        sequences.append(_simulate_one(f"seq{i + 1:0{digits}d}_{label}", stream, CLASSES[label]))
    return sequences


def _simulate_one(name: str, stream: Stream, motifs: tuple[str, ...]) -> Simulated:
    bases = stream.choices(BACKGROUND, LENGTH).astype(np.int8)
    taken = np.zeros(LENGTH, dtype=bool)
    planted = []
    for motif in motifs:
        for _ in range(1 + stream.choice(INSTANCES)):
            instance = np.array([stream.choice(counts) for counts in MOTIFS[motif]], dtype=np.int8)
            strand = "+-"[stream.choice((1, 1))]
            start = stream.choice(_free_starts(taken, len(instance)))
            end = start + len(instance)
            # A and T, C and G add up to 3, so the reverse complement is 3 - base, read backwards.
            bases[start:end] = instance if strand == "+" else 3 - instance[::-1]
            taken[start:end] = True
            planted.append(Planted(start, end, motif, strand))
    return Simulated(name, bases, tuple(sorted(planted)))


def _free_starts(taken: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """Weights over the starts: 1 where `width` bases from there on hold no motif yet, else 0."""
    occupied = np.lib.stride_tricks.sliding_window_view(taken, width).any(axis=1)
    return (~occupied).astype(np.int64)


def one_hot(sequences: Sequence[Simulated]) -> NDArray[np.float32]:
    """One-hot encode simulated sequences as [N, 4, 200]."""
    bases = np.stack([sequence.bases for sequence in sequences])
    return (bases[:, None, :] == np.arange(4, dtype=np.int8)[None, :, None]).astype(np.float32)


def write_fasta(sequences: Sequence[Simulated], path: Path) -> None:
    """Write the sequences as FASTA, one line each."""
    path.write_bytes("".join(f">{s.name}\n{s.letters}\n" for s in sequences).encode())


def write_bed(sequences: Sequence[Simulated], path: Path) -> None:
    """Write the planted instances as six-column BED; chrom is the name of the FASTA record."""
    rows = [f"{s.name}\t{p.start}\t{p.end}\t{p.motif}\t0\t{p.strand}\n" for s in sequences for p in s.planted]
    path.write_bytes("".join(rows).encode())
