"""How time and memory grow with references, length, filters and regions, and how long a large job takes.

    python benchmarks/scaling.py [--markdown docs/performance.md] [--repeats 3]

Models are BPNet's trunk (8 dilated residual layers) with random weights; each row changes one number of
the base case. Times are medians; memory is that of a process which records the model and scores, less
what it had with libraries, model and data loaded. With --one the script is such a process.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import torch
from pages import insert, table
from peak_memory import one_hot, peak_of
from speed_models import Case, bpnet, long_trunk

from deeplift_cli.models.batch_size import auto_batch_size
from deeplift_cli.process.memory import keep_freed_memory
from deeplift_core import DeepLift

MARKS = "scaling"


@dataclass(frozen=True)
class Work:
    """What is scored; ``rows`` is the batch size, None for the one that `auto` chooses."""

    kind: str = "bpnet"
    references: int = 20
    length: int = 2114
    filters: int = 64
    regions: int = 8
    rows: int | None = None


BASE = Work()
AXES = {
    "references": (1, 5, 20, 40),
    "length": (528, 1057, 2114, 4228, 8456),
    "filters": (16, 32, 64, 128, 256),
    "regions": (4, 8, 16, 32),
}
# The sequences are as long as Borzoi's inputs, with the batch of one that `auto` chooses there.
LONG = [Work("long", 2, length, 32, 1) for length in (196_608, 524_288)]
# The jobs of the worked table: a fold is a model of its own, scored on all regions.
REGIONS, FOLDS = 300_000, 5
JOB_REFERENCES = (1, 20)
JOB_FILTERS = (64, 512)
PARALLEL = (1, 8, 32, 128)
# What the page says of each axis.
SAID = {
    "references": "The time of a region grows in proportion to the references, from a small fixed part on.",
    "length": "The time grows in proportion to the length, and batches of longer sequences are smaller.",
    "filters": "The time of convolutions grows with the square of the number of filters.",
    "regions": "The time of a region does not depend on the number of regions.",
}


@dataclass(frozen=True)
class Cost:
    """Of one piece of work: the batch size, MiB kept for one row, seconds for all regions, MiB at most."""

    rows: int
    row_mib: float
    seconds: float
    peak_mib: float

    def milliseconds_a_pair(self, work: Work) -> float:
        """For a region and a reference, the region's own forward pass included."""
        return 1000 * self.seconds / work.regions / work.references


def measure(work: Work, repeats: int) -> Cost:
    """Record and score, in this process."""
    makes = {"bpnet": lambda: bpnet(work.filters), "long": lambda: long_trunk(work.filters)}
    model = Case(makes[work.kind], work.length, work.regions).model()
    x, references = one_hot(work.regions, work.length), one_hot(work.regions, work.references, work.length)
    one = DeepLift(model, x[:1], rule="rescale")
    row = one.bytes_per_row
    rows = work.rows or auto_batch_size(one, work.regions)
    del one
    seconds: list[float] = []

    def score() -> None:
        explainer = DeepLift(model, x[:1].expand(rows, -1, -1), rule="rescale")
        explainer.attribute(x[:1], references[:1, :1])  # prepares what every batch needs
        for _ in range(repeats):
            started = time.perf_counter()
            explainer.attribute(x, references)
            seconds.append(time.perf_counter() - started)

    peak = peak_of(score)
    return Cost(rows, row / 2**20, median(seconds), peak)


def apart(work: Work, repeats: int) -> Cost:
    """The same in a process of its own, whose memory nothing else has touched."""
    given = json.dumps({**asdict(work), "repeats": repeats})
    done = subprocess.run(
        [sys.executable, __file__, "--one", given], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stderr[-2000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def along(axis: str, repeats: int) -> str:
    """The table of one axis."""
    lines = []
    for value in AXES[axis]:
        work = replace(BASE, **{axis: value})
        cost = apart(work, repeats)
        each = 1000 * cost.seconds / work.regions
        lines.append(
            [str(value), str(cost.rows), f"{each:.0f}", f"{cost.milliseconds_a_pair(work):.1f}",
             f"{cost.peak_mib:.0f}"]
        )  # fmt: skip
        print(axis, *lines[-1], sep=" | ", flush=True)
    return table(f"{axis}|batch|ms a region|ms a region and reference|peak, MiB", lines)


def long_inputs() -> str:
    """The table of memory for inputs of Borzoi's length: what is stated and what was measured."""
    lines = []
    for work in LONG:
        cost = apart(work, 1)
        stated = cost.row_mib * cost.rows
        lines.append(
            [f"{work.length:,}", str(work.filters), str(cost.rows), f"{stated:.0f}", f"{cost.peak_mib:.0f}",
             f"{cost.peak_mib / stated:.1f}", f"{cost.seconds / work.references:.1f}"]
        )  # fmt: skip
        print("long", *lines[-1], sep=" | ", flush=True)
    return table("length|filters|batch|values kept, MiB|peak, MiB|peak / kept|s a reference", lines)


def jobs(repeats: int) -> str:
    """How long jobs of 300,000 regions and 5 folds take on so many workers, from one worker's constant."""
    lines = []
    for filters in JOB_FILTERS:
        for references in JOB_REFERENCES:
            work = replace(BASE, filters=filters, references=references, regions=8 if filters < 100 else 1)
            c = apart(work, repeats).milliseconds_a_pair(work)
            hours = REGIONS * FOLDS * references * c / 3.6e6
            spans = [duration(hours / workers) for workers in PARALLEL]
            lines.append([f"BPNet, {filters} filters", str(references), f"{c:.1f}", *spans])
            print("job", *lines[-1], sep=" | ", flush=True)
    workers = "|".join(f"{count} worker{'s' * (count > 1)}" for count in PARALLEL)
    return table(f"model|references|c, ms|{workers}", lines)


def duration(hours: float) -> str:
    """Return a duration in minutes, hours or days."""
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def report(repeats: int) -> str:
    """All tables, as markdown."""
    threads = torch.get_num_threads()
    base = f"{BASE.filters} filters, {BASE.length} bp, {BASE.references} references, {BASE.regions} regions"
    return "\n\n".join(
        [
            f"Measured on {threads} threads, float32, not compiled. The base case is BPNet with {base}.",
            *(f"### Growing {axis}\n\n{SAID[axis]}\n\n{along(axis, repeats)}" for axis in AXES),
            f"### Inputs of Borzoi's length\n\nOne such sequence is a batch of its own.\n\n{long_inputs()}",
            f"### {REGIONS:,} regions, {FOLDS} folds; a worker has {threads} cores",
            f"These times follow from c by the formula above.\n\n{jobs(repeats)}",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markdown", type=Path, metavar="PAGE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    if given.one is not None:
        repeats = given.one.pop("repeats")
        print(json.dumps(asdict(measure(Work(**given.one), repeats))))
        return
    text = report(given.repeats)
    print(text)
    if given.markdown:
        insert(given.markdown, text, MARKS)


if __name__ == "__main__":
    main()
