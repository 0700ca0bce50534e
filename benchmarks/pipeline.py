"""Measure what `deeplift score` does beside the model: how fast, what it adds, its memory, its start-up.

    python benchmarks/pipeline.py [--markdown docs/pipeline.md] [--regions 5000] [--model-regions 160]
                                  [--references 4] [--largest 100000] [--rounds 5]

Sequences are random, of 2,114 bp, and so are the scores that stand for a model's in the first tables: normal
numbers, which compress worse than real contributions. `--markdown` puts the tables into that page, between
its two marks. `--largest` is the number of regions up to which memory is measured.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import cycle
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does, before torch is imported

import numpy as np
import torch
from pages import insert, table
from torch import Tensor, nn

from deeplift_cli.models.explainer import Explained, explain, read_model
from deeplift_cli.models.scorer import Scores
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.columns import compressing_threads
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.export import write_output
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.pieces import Pieces
from deeplift_cli.outputs.score_file import ScoreFile
from deeplift_cli.outputs.skipped import SkippedFile
from deeplift_cli.process.screen import Screen
from deeplift_cli.run import scoring_run
from deeplift_cli.run.batches import Batch, Records
from deeplift_cli.run.references import PreparedBatch, make_reference, with_references
from deeplift_cli.sequences import FastaSource

LENGTH = 2114
SPACING = 3000  # of regions along a chromosome
BATCH = 64
SCREEN = Screen(quiet=True)
COMMAND = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
# What the kernel reports of a child is at least what its parent held when it began, so a child says its own.
PEAK = """
import re, os, sys
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
from deeplift_cli.main import run
code = run()
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class Cheap(nn.Module):
    """One dense layer on pooled sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool1d(302)
        self.dense = nn.Linear(4 * 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.pool(x).flatten(1))


class BPNet64(nn.Module):
    """BPNet's trunk with 64 filters and 8 dilated layers, and a head of counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(4, 64, 21, padding=10), nn.ReLU())
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Conv1d(64, 64, 3, padding=2**i, dilation=2**i), nn.ReLU()) for i in range(1, 9)
        )
        self.counts = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.dilated:
            x = x + layer(x)
        return self.counts(x.mean(-1))


@dataclass(frozen=True)
class Work:
    """A folder with models and sequences."""

    folder: Path

    def model(self, make: type[nn.Module]) -> Path:
        """The model as TorchScript, with weights from a seed."""
        path = self.folder / f"{make.__name__}.pt"
        if not path.exists():
            torch.manual_seed(0)
            torch.jit.trace(make().eval(), torch.zeros(2, 4, LENGTH)).save(str(path))
        return path

    def fasta(self, n: int) -> Path:
        """Random sequences with places on a chromosome, so that they can go to a bigWig."""
        path = self.folder / f"{n}.fa"
        if not path.exists():
            rng = np.random.default_rng(0)
            with path.open("wb") as file:
                for i in range(n):
                    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, LENGTH)].tobytes()
                    start = SPACING * i
                    file.write(b">chr1:%d-%d\n%s\n" % (start, start + LENGTH, letters))
        return path

    def options(
        self, make: type[nn.Module], n: int, references: int, batch: int | None = None
    ) -> ScoreOptions:
        """A job, uncompiled."""
        return ScoreOptions(
            model=self.model(make),
            fasta=self.fasta(n),
            out=self.folder / "scores.h5",
            n_references=references,
            batch_size=batch,
            overwrite=True,
            compile="off",
        )


class Canned(Explained):
    """Stands for a model that takes no time: it returns parts of the same random scores."""

    def score(self, sequences: np.ndarray, references: np.ndarray) -> list[Scores]:
        rows, n_references = len(sequences), references.shape[-3]
        part = canned(n_references)
        return [part.rows(range(rows))]


CANNED: dict[int, Scores] = {}


def canned(n_references: int) -> Scores:
    """Random scores of one batch."""
    if n_references not in CANNED:
        rng = np.random.default_rng(1)
        CANNED[n_references] = Scores(
            rng.standard_normal((BATCH, 4, LENGTH)).astype(np.float32) * np.float32(0.01),
            *(rng.standard_normal(BATCH) for _ in range(2)),
            rng.standard_normal((BATCH, n_references)),
            np.zeros((BATCH, n_references)),
            np.zeros(BATCH, int),
            None if n_references == 1 else np.abs(rng.standard_normal((BATCH, LENGTH))),
        )
    return CANNED[n_references]


@contextmanager
def explained_as(explained: Explained) -> Iterator[None]:
    """Within, jobs use this model."""
    original = scoring_run.explain
    scoring_run.explain = lambda *_: explained  # type: ignore[assignment]
    try:
        yield
    finally:
        scoring_run.explain = original


def records(options: ScoreOptions, explained: Explained) -> Records:
    """The sequences of a job."""
    assert options.fasta is not None
    return Records(FastaSource(options.fasta), explained.length, strand_aware=False)


def prepared(options: ScoreOptions, explained: Explained) -> Iterator[PreparedBatch]:
    """Batches and references of a job."""
    batches = records(options, explained).batches(explained.batch_size)
    reference = make_reference(options, explained.length)
    found = with_references(batches, reference, options.records, finished=(), saved=False)
    return (item for item in found if isinstance(item, PreparedBatch))


def made_explained(options: ScoreOptions) -> Explained:
    """The model, read and recorded for more sequences than a batch has."""
    return explain(options, read_model(options, SCREEN), lambda: LENGTH, sys.maxsize, SCREEN)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(rounds: int, contenders: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Median of each contender's measurements; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for name, _ in zip(cycle(contenders), range(rounds * len(contenders)), strict=False):
        found[name].append(contenders[name]())
    return {name: statistics.median(values) for name, values in found.items()}


def drain(items: Iterable[object]) -> None:
    """Go through all, and keep none."""
    for _ in items:
        pass


def throughput(work: Work, n: int, rounds: int) -> str:
    """Everything but the model, and each stage by itself."""
    options = work.options(Cheap, n, references=1, batch=BATCH)
    real = made_explained(options)
    free = Canned(**{field.name: getattr(real, field.name) for field in fields(Explained)})
    batches = [item.batch for item in prepared(options, free)]

    def job(explained: Explained) -> float:
        with explained_as(explained):
            return scoring_run.score(options, SCREEN, lambda *_: None)[0].scoring_seconds

    jobs = {
        "everything but the model": lambda: job(free),
        "with one dense layer on pooled sequences": lambda: job(real),
    }
    stages = {
        "reading, one-hot": lambda: seconds(lambda: drain(records(options, free).batches(BATCH))),
        "the same and references": lambda: seconds(lambda: drain(prepared(options, free))),
        "compressing and keeping": lambda: seconds(lambda: keep(work, batches)),
        "HDF5 from what was kept": lambda: seconds(lambda: assemble(work)),
        "bigWig": lambda: seconds(lambda: write_tracks(work, n)),
    }
    found = medians(rounds, jobs | stages)
    columns = "seconds|regions per second|microseconds each"
    return "\n\n".join(
        [
            f"{n:,} regions with one reference, batches of {BATCH}, medians of {rounds} runs.",
            table(f"whole job, while scoring|{columns}", [rates(name, found[name], n) for name in jobs]),
            table(f"stage by itself|{columns}", [rates(name, found[name], n) for name in stages]),
        ]
    )


def rates(text: str, taken: float, n: int) -> list[str]:
    """A row of seconds, regions per second and the inverse."""
    return [text, f"{taken:.2f}", f"{n / taken:,.0f}", f"{1e6 * taken / n:,.0f}"]


def keep(work: Work, batches: Sequence[Batch]) -> None:
    """Compress canned scores, and keep each batch in a piece."""
    folder = work.folder / "pieces"
    folder.mkdir(exist_ok=True)
    layout, pieces = ScoreLayout(LENGTH, 1, BATCH), Pieces(folder)
    with compressing_threads() as pool:
        for number, batch in enumerate(batches):
            rows = len(batch.regions)
            part = canned(1).rows(range(rows))
            numbers = (part.prediction, part.output, part.reference_output, part.completeness_error)
            none = np.zeros(rows, int)
            scored = ScoredBatch(batch.regions, batch.sequences, part.hypothetical, *numbers, none)
            pieces.save(number, pack(scored, layout, pool), batch.digest, job="")


def assemble(work: Work) -> None:
    """Put together what `keep` kept."""
    pieces, skipped = Pieces(work.folder / "pieces"), work.folder / "skipped.tsv"
    with SkippedFile(skipped):
        pass
    layout = ScoreLayout(LENGTH, 1, BATCH)
    attrs = {
        "shard": None, "batch_size": BATCH, "fingerprint": {}, "target": 0, "model_sha256": "",
        "n_skipped": 0, "worst_relative_completeness_error": 0.0,
    }  # fmt: skip
    with ScoreFile(work.folder / "alone.h5", layout, skipped=skipped, attrs=attrs, overwrite=True) as file:
        for number in sorted(pieces.numbers):
            file.append(pieces.load(number))


def write_tracks(work: Work, n: int) -> None:
    """Write what `assemble` wrote as bigWig."""
    sizes, given = {"chr1": SPACING * (n + 1)}, {"overlap": "nearest-centre"}
    write_output("bigwig", work.folder / "alone.bw", work.folder / "alone.h5", sizes, given, overwrite=True)


class Watched(Explained):
    """A model whose calls are timed."""

    def score(self, sequences: np.ndarray, references: np.ndarray) -> list[Scores]:
        started = time.perf_counter()
        found = super().score(sequences, references)
        IN_MODEL.append(time.perf_counter() - started)
        return found


IN_MODEL: list[float] = []


def overhead(work: Work, n: int, references: int, rounds: int) -> str:
    """A job against nothing but calls of the model, on batches that were made before."""
    options = work.options(BPNet64, n, references)
    made = made_explained(options)
    explained = Watched(**{field.name: getattr(made, field.name) for field in fields(Explained)})
    ready = list(prepared(options, explained))
    outside: list[float] = []

    def bare() -> float:
        return seconds(lambda: [explained.score(item.batch.sequences, item.references) for item in ready])

    def job() -> float:
        IN_MODEL.clear()
        with explained_as(explained):
            taken = scoring_run.score(options, SCREEN, lambda *_: None)[0].scoring_seconds
        outside.append(1 - sum(IN_MODEL) / taken)
        return taken

    bare()
    times: list[tuple[float, float]] = [(bare(), job()) for _ in range(rounds)]
    added = [whole / alone - 1 for alone, whole in times]
    return "\n\n".join(
        [
            f"{n:,} regions, {references} references, batches of {explained.batch_size}; medians (and "
            f"ranges) of {rounds} pairs of runs.",
            table(
                "calls of the model alone, s|whole job while scoring, s|added|share outside the calls",
                [
                    [
                        ranged([alone for alone, _ in times], ".2f"),
                        ranged([whole for _, whole in times], ".2f"),
                        ranged(added, "+.1%"),
                        ranged(outside, ".1%"),
                    ]
                ],
            ),
        ]
    )


def ranged(values: Sequence[float], form: str) -> str:
    """Median, smallest and largest."""
    middle, least, most = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({least} to {most})"


def run(*arguments: object) -> str:
    """Run the command and return what it prints."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def peak(*arguments: object) -> float:
    """Largest resident memory of the command, in MB; needs Linux."""
    words = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def memory(work: Work, largest: int) -> str:
    """Resident memory of whole processes, and how long they take."""
    rows = list[list[str]]()
    first = 0.0
    for n in sorted({min(1000, largest), min(10_000, largest), largest}):
        model, fasta = work.model(Cheap), work.fasta(n)
        started = time.perf_counter()
        used = peak(
            "score", "-q", "-m", model, "-f", fasta, "-o", work.folder / "m.h5", "--overwrite",
            "--n-references", 1, "--batch-size", BATCH, "--compile", "off",
        )  # fmt: skip
        taken = time.perf_counter() - started
        first = first or used
        rows.append([f"{n:,}", f"{used:,.0f}", f"{used / first - 1:+.1%}", f"{taken:.1f}"])
        fasta.unlink()
    return table("regions|largest resident memory, MB|against the first|seconds in all", rows)


def start(work: Work, rounds: int) -> str:
    """How long the command takes where there is next to nothing to do."""
    ten = work.folder / "ten.fa"
    with (EXAMPLES / "sequences.fa").open() as file:
        ten.write_text(">" + ">".join(file.read().split(">")[1:11]))
    scores = work.folder / "ten.h5"
    commands: dict[str, tuple[object, ...]] = {
        "deeplift --help": ("--help",),
        "deeplift score --help": ("score", "--help"),
        "deeplift inspect --help": ("inspect", "--help"),
        "deeplift score, 10 sequences of the embedded example": (
            "score", "-q", "-m", EXAMPLES / "tal1_gata.onnx", "-f", ten, "-o", scores, "--overwrite",
        ),
    }  # fmt: skip
    found = medians(
        rounds, {name: lambda words=words: seconds(lambda: run(*words)) for name, words in commands.items()}
    )
    return table("command|seconds", [[f"`{name}`", f"{found[name]:.2f}"] for name in commands])


def report(options: argparse.Namespace) -> str:
    """All tables, as markdown."""
    with tempfile.TemporaryDirectory() as name:
        work = Work(Path(name))
        return "\n\n".join(
            [
                "### Everything but the model",
                throughput(work, options.regions, options.rounds),
                "### BPNet-64",
                overhead(work, options.model_regions, options.references, options.rounds),
                "### Memory",
                memory(work, options.largest),
                "### Start-up",
                start(work, options.rounds),
            ]
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what deeplift score does beside the model.")
    for name, default in [
        ("regions", 5000),
        ("model-regions", 160),
        ("references", 4),
        ("largest", 100_000),
        ("rounds", 5),
    ]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    text = report(options)
    print(text)
    if options.markdown:
        insert(options.markdown, text)


if __name__ == "__main__":
    main()
