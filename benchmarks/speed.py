"""Time this package, tangermeme and the bare model on the field's standard models, alternating in one run.

    python benchmarks/speed.py [--markdown docs/performance.md] [--json speed.json] [--repeats 3] [MODEL ...]

All get the same sequences and the same references, 20 dinucleotide shuffles for each, under `rescale`, which
tangermeme implements too; hypothetical contributions are compared before times are. tangermeme runs with 8,
32 and 64 pairs a batch, and its best time counts. *bare* is the model's own arithmetic in float32: a forward
pass of each sequence, and a forward and a backward pass of each reference. Medians over the repeats.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from pages import insert, table
from speed_models import CASES, Case
from torch import Tensor, nn

import deeplift_references
from deeplift_cli.explaining import auto_batch_size
from deeplift_core import DeepLift

REFERENCES = 20
PEER_BATCHES = (8, 32, 64)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Ours against ours, relative to the largest contribution.
SAME = 1e-4


@dataclass
class Bench:
    """One model with its data, and the contenders ready to run."""

    case: Case
    model: nn.Module = field(init=False)
    x: Tensor = field(init=False)
    references: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.case.model()
        letters = np.random.default_rng(0).integers(0, 4, (self.case.sequences, self.case.length))
        one_hot = np.eye(4, dtype=np.int8)[letters].transpose(0, 2, 1)
        shuffles = deeplift_references.make("dinucleotide", n_references=REFERENCES, seed=0)
        self.x = torch.from_numpy(np.ascontiguousarray(one_hot)).float()
        self.references = torch.from_numpy(shuffles(np.ascontiguousarray(one_hot)))

    def ours(self, precision: str, rule: str, *, compiled: bool) -> Callable[[], Tensor]:
        """Ready to score: recorded, and compiled."""
        dtype = PRECISIONS[precision]
        rows = auto_batch_size(DeepLift(self.model, self.x[:1], rule=rule, dtype=dtype).bytes_per_row)
        explainer = DeepLift(self.model, self.x[:rows], rule=rule, dtype=dtype)
        ready = explainer.compiled() if compiled else explainer
        return lambda: ready.attribute(self.x, self.references).hypothetical

    def peer(self, precision: str, batch: int) -> Callable[[], Tensor]:
        """tangermeme's scores of the same pairs."""
        from tangermeme.deep_lift_shap import deep_lift_shap

        options = {"batch_size": batch, "hypothetical": True, "device": "cpu", "warning_threshold": np.inf}
        dtype = None if precision == "float32" else PRECISIONS[precision]
        return lambda: deep_lift_shap(
            self.model, self.x, references=self.references, dtype=dtype, **options
        ).float()

    def bare(self, rows: int) -> Callable[[], None]:
        """(1 + n) forward passes and n of those backwards, so many sequences at a time."""

        def run() -> None:
            for start in range(0, len(self.x), rows):
                with torch.no_grad():
                    self.model(self.x[start : start + rows])
                for number in range(REFERENCES):
                    point = self.references[start : start + rows, number].clone().requires_grad_()
                    torch.autograd.grad(self.model(point).flatten(1)[:, 0].sum(), point)

        return run


def contenders(bench: Bench, peers: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names and functions, prepared one after the other."""
    for precision in PRECISIONS:
        for rule in ("rescale", "genomics-default"):
            for compiled in (False, True):
                name = f"ours, {precision}, {'compiled' if compiled else 'eager'}, {rule}"
                yield name, bench.ours(precision, rule, compiled=compiled)
        if peers:
            for batch in PEER_BATCHES:
                yield f"tangermeme, {precision}, {batch}", bench.peer(precision, batch)
    for rows in (1, 8, 64):
        yield f"bare, {rows}", bench.bare(rows)


def timed(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def correlation(first: Tensor, second: Tensor, x: Tensor) -> float:
    """Pearson's, of the observed bases' contributions, for the sequence where it is lowest."""
    pairs = zip((first * x).sum(1), (second * x).sum(1), strict=True)
    return min(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs)


def compared(bench: Bench, results: dict[str, Tensor]) -> dict[str, float]:
    """How alike the results are; ours must be, or no time counts.

    Raises
    ------
    SystemExit
        If ours in float32 differ from each other by more than rounding.
    """
    found = {}
    for rule in ("rescale", "genomics-default"):
        exact = results[f"ours, float32, eager, {rule}"]
        scale = float(exact.abs().max())
        off = float((results[f"ours, float32, compiled, {rule}"] - exact).abs().max()) / scale
        if off > SAME:
            raise SystemExit(f"compiled scores differ by {off:.1e} under {rule}")
        found[f"compiled off, {rule}"] = off
        for how in ("eager", "compiled"):
            other = results[f"ours, bfloat16, {how}, {rule}"]
            found[f"bfloat16 {how}, {rule}"] = correlation(exact, other, bench.x)
    exact = results["ours, float32, eager, rescale"]
    for name, other in results.items():
        if name.startswith("tangermeme, float32"):
            found["correlation with tangermeme"] = correlation(exact, other, bench.x)
    return found


def measure(name: str, repeats: int, peers: bool) -> dict[str, Any]:
    """One model: equality first, then times."""
    bench = Bench(CASES[name])
    runs = dict(contenders(bench, peers))
    results = {who: run() for who, run in runs.items()}  # also warms up
    likeness = compared(bench, {who: value for who, value in results.items() if value is not None})
    seconds = timed(runs, repeats)
    return {"model": name, "sequences": len(bench.x), "likeness": likeness, "seconds": seconds}


def best(found: dict[str, Any], start: str) -> float:
    """Median seconds of the fastest contender of this kind."""
    return min(median(times) for who, times in found["seconds"].items() if who.startswith(start))


def rows_of(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """One line of the table of ratios, and one of the table of times."""
    ours = {
        (precision, how): best(found, f"ours, {precision}, {how}, rescale")
        for precision in PRECISIONS
        for how in ("eager", "compiled")
    }
    peer, bare = best(found, "tangermeme, float32"), best(found, "bare")
    ratios = [f"{peer / seconds:.1f}" for seconds in ours.values()]
    default = [
        f"{peer / best(found, f'ours, float32, {how}, genomics-default'):.1f}"
        for how in ("eager", "compiled")
    ]
    likeness = found["likeness"]
    others = [f"{peer / seconds:.1f}" for seconds in (best(found, "tangermeme, bfloat16"), bare)]
    alike = [
        f"{likeness['correlation with tangermeme']:.6f}", f"{likeness['bfloat16 compiled, rescale']:.5f}"
    ]  # fmt: skip
    line = [found["model"], *ratios, *default, *others, *alike]
    count = found["sequences"]
    spread = max((max(times) - min(times)) / median(times) for times in found["seconds"].values())
    times = [f"{1000 * seconds / count:.1f}" for seconds in (*ours.values(), peer, bare)]
    return line, [found["model"], str(count), *times, f"{100 * spread:.0f} %"]


def report(found: list[dict[str, Any]]) -> str:
    """Both tables, as markdown."""
    ratios, times = zip(*map(rows_of, found), strict=True)
    machine = f"{torch.get_num_threads()} threads of {_processor()}; torch {torch.__version__}"
    modes = "float32|float32 compiled|bfloat16|bfloat16 compiled"
    return "\n\n".join(
        [
            f"Measured on {machine}, {REFERENCES} references for each sequence.",
            "### Times as fast as tangermeme in float32 at its best batch",
            table(
                f"model|{modes}|genomics-default|genomics-default compiled|tangermeme bfloat16|bare model|"
                "correlation with tangermeme|bfloat16 with float32",
                ratios,
            ),
            "### Milliseconds a sequence",
            table(f"model|sequences|{modes}|tangermeme|bare model|largest spread", times),
        ]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(CASES)}")
    parser.add_argument("--markdown", type=Path, metavar="PAGE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = []
    for name in given.models or CASES:
        found.append(measure(name, given.repeats, peers=True))
        print(name, *rows_of(found[-1])[0][1:], sep=" | ", flush=True)
    text = report(found)
    print(text)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    if given.markdown:
        insert(given.markdown, text)


if __name__ == "__main__":
    main()
