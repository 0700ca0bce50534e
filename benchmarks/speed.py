"""Time this package, tangermeme and the bare model on the field's standard models, alternating in one run.

    python benchmarks/speed.py [--markdown docs/performance.md] [--json speed.json] [--repeats 3] [MODEL ...]

All get the same sequences and the same references, 20 dinucleotide shuffles for each or one frequency
reference, under `rescale`, which tangermeme implements too; contributions and hypothetical contributions are
compared before times are. tangermeme runs with 8, 32 and 64 pairs a batch, and its best counts. *bare* is the
model's own arithmetic in float32 at its best of three batches: a forward pass of each sequence, and a forward
and a backward pass of each reference. *full rate* is what those operations would take at the rate of a large
product of matrices, measured beside each model: computed one by one they take hardly less. The times are
medians over the repeats.

All keep freed memory, as `deeplift score` does, which serves the others as well.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from arithmetic import operations, rate
from pages import insert, table
from peak_memory import CONTENDERS, in_process
from speed_models import CASES, MANY_TARGETS, Case
from torch import Tensor, nn

import deeplift_references
from deeplift_cli.models.batch_size import auto_batch_size
from deeplift_cli.process.memory import keep_freed_memory
from deeplift_core import DeepLift

REFERENCES = 20
FREQUENCIES = (0.3, 0.2, 0.2, 0.3)
TARGETS = (1, 4, 16)
PEAK_PAIRS = (8, 32)
PEER_BATCHES = (8, 32, 64)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# These limits compare our scores with our scores in float32: the root mean square of the difference relative
# to that of the scores, and the correlation in the worst sequence. Where two positions of a max pool tie but
# for rounding, rounding decides which of them gets all, and eager float32 itself differs from float64 there.
SAME, ALIKE = 1e-2, 0.999


Run = Callable[[], Any]


@dataclass
class Bench:
    """One model with its data, and the contenders ready to run."""

    case: Case
    model: nn.Module = field(init=False)
    x: Tensor = field(init=False)
    references: Tensor = field(init=False)
    frequencies: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.case.model()
        letters = np.random.default_rng(0).integers(0, 4, (self.case.sequences, self.case.length))
        one_hot = np.eye(4, dtype=np.int8)[letters].transpose(0, 2, 1)
        shuffles = deeplift_references.make("dinucleotide", n_references=REFERENCES, seed=0)
        self.x = torch.from_numpy(np.ascontiguousarray(one_hot)).float()
        self.references = torch.from_numpy(shuffles(np.ascontiguousarray(one_hot)))
        self.frequencies = torch.tensor(FREQUENCIES)[None, :, None].expand(1, 4, self.case.length).clone()

    def explainer(self, precision: str, rule: str) -> DeepLift:
        """Recorded, with the batch size that the command line would choose."""
        dtype = PRECISIONS[precision]
        rows = auto_batch_size(DeepLift(self.model, self.x[:1], rule=rule, dtype=dtype))
        return DeepLift(self.model, self.x[:rows], rule=rule, dtype=dtype)

    def peer(self, precision: str, batch: int, references: Tensor, *, hypothetical: bool = True) -> Run:
        """tangermeme's scores of the same pairs."""
        from tangermeme.deep_lift_shap import deep_lift_shap

        options = {"batch_size": batch, "device": "cpu", "warning_threshold": np.inf, "only_warn": True}
        dtype = None if precision == "float32" else PRECISIONS[precision]
        return lambda: deep_lift_shap(
            self.model, self.x, references=references, dtype=dtype, hypothetical=hypothetical, **options
        ).float()

    def bare(self, rows: int) -> Run:
        """(1 + n) forward passes and n of those backwards, so many sequences at a time."""

        def run() -> None:
            for start in range(0, len(self.x), rows):
                with torch.no_grad():
                    self.model(self.x[start : start + rows])
                for number in range(REFERENCES):
                    point = self.references[start : start + rows, number].clone().requires_grad_()
                    torch.autograd.grad(self.model(point).flatten(1)[:, 0].sum(), point)

        return run


def ours(bench: Bench) -> Iterator[tuple[str, Run]]:
    """Names and functions of ours; where the preset gives the rules of `rescale` it is not run again."""
    for precision in PRECISIONS:
        for rule in ("rescale", "genomics-default"):
            explainer = bench.explainer(precision, rule)
            if rule != "rescale" and (precision != "float32" or not reveals(explainer)):
                continue
            for how, ready in (("eager", explainer), ("compiled", explainer.compiled())):
                run = partial(ready.attribute, bench.x, bench.references)
                yield f"ours, {precision}, {how}, {rule}", run


def reveals(explainer: DeepLift) -> bool:
    """Return whether an operation of the model has the rule RevealCancel."""
    return any(node.rule == "revealcancel" for node in explainer.nodes)


def fastest(runs: dict[Any, Run]) -> tuple[Any, Run]:
    """The one that takes least time."""
    seconds = {name: _timed(run) for name, run in runs.items()}
    best = min(seconds, key=seconds.__getitem__)
    return best, runs[best]


def _timed(run: Run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def timed(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(_timed(run))
    return seconds


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's, for the sequence where it is lowest; of what is not 0 in both."""
    pairs = zip(first.flatten(1), second.flatten(1), strict=True)
    return min(float(torch.corrcoef(torch.stack([a, b])[:, (a != 0) | (b != 0)])[0, 1]) for a, b in pairs)


def likeness(bench: Bench, runs: dict[str, Run], batch: int) -> dict[str, float]:
    """Return how alike the results are; ours must be alike, or no time counts.

    The comparison also runs the code once before it is timed.

    Raises
    ------
    SystemExit
        If ours in float32 differ from each other by more than rounding.
    """
    results = {name: run() for name, run in runs.items() if name.startswith("ours")}
    found = {}
    for name, result in results.items():
        _, precision, how, rule = name.split(", ")
        exact = results[f"ours, float32, eager, {rule}"].hypothetical
        off = float((result.hypothetical - exact).norm() / exact.norm())
        alike = correlation(exact * bench.x, result.hypothetical * bench.x)
        if precision == "float32" and (off > SAME or alike < ALIKE):
            raise SystemExit(f"{how} scores differ by {off:.1e} under {rule}; correlation {alike:.5f}")
        found[f"{precision}, {how}, {rule}"] = alike
    exact = results["ours, float32, eager, rescale"]
    theirs = bench.peer("float32", batch, bench.references)()
    found["hypothetical"] = correlation(exact.hypothetical, theirs)
    theirs = bench.peer("float32", batch, bench.references, hypothetical=False)()
    # tangermeme leaves out the contributions of absent bases, and ours go to the position: the sum over bases
    # is the same.
    found["contributions"] = correlation(exact.contributions.sum(1), theirs.sum(1))
    return found


def measure(name: str, repeats: int) -> dict[str, Any]:
    """One model: equality first, then times."""
    bench = Bench(CASES[name])
    runs = dict(ours(bench))
    peers = {batch: bench.peer("float32", batch, bench.references) for batch in PEER_BATCHES}
    batch, runs["tangermeme, float32"] = fastest(peers)
    runs["tangermeme, bfloat16"] = bench.peer("bfloat16", batch, bench.references)
    _, runs["bare"] = fastest({rows: bench.bare(rows) for rows in (1, 8, 64)})
    alike = likeness(bench, runs, batch)
    one = bench.frequencies.expand(len(bench.x), 1, 4, -1)
    explainer = bench.explainer("float32", "rescale")
    runs["one reference, ours"] = partial(explainer.attribute, bench.x, bench.frequencies)
    runs["one reference, tangermeme"] = bench.peer("float32", batch, one)
    alike["one reference"] = correlation(
        runs["one reference, ours"]().hypothetical, runs["one reference, tangermeme"]()
    )
    count = len(bench.x)
    wanted = count * operations(bench.model, bench.x, REFERENCES)
    return {
        "model": name,
        "sequences": count,
        "likeness": alike,
        "seconds": timed(runs, repeats),
        "full rate": {precision: wanted / rate(dtype) for precision, dtype in PRECISIONS.items()},
    }


def peaks(name: str, repeats: int) -> list[str]:
    """One line of the table of memory: MiB of ours and of tangermeme for batches of some pairs."""
    wanted = [(who, str(n)) for n in PEAK_PAIRS for who in CONTENDERS]
    turns = [[in_process("peak_memory.py", who, name, n) for who, n in wanted] for _ in range(repeats)]
    return [name, *(f"{median(found):.0f}" for found in zip(*turns, strict=True))]


def many_targets(name: str, repeats: int) -> list[str]:
    """One line of the table of targets: milliseconds a sequence and target."""
    bench = Bench(MANY_TARGETS[name])
    explainer = bench.explainer("float32", "rescale")
    references = bench.references[:, :5]
    runs: dict[str, Run] = {
        str(count): partial(explainer.attribute_targets, bench.x, references, range(count))
        for count in TARGETS
    }
    for run in runs.values():
        run()
    seconds = timed(runs, repeats)
    each = [1000 * median(seconds[str(count)]) / len(bench.x) / count for count in TARGETS]
    return [name, *(f"{milliseconds:.0f}" for milliseconds in each)]


def best(found: dict[str, Any], *starts: str) -> float:
    """Median seconds of the fastest contender of the first kind that there is."""
    for start in starts:
        times = [median(times) for who, times in found["seconds"].items() if who.startswith(start)]
        if times:
            return min(times)
    raise KeyError(starts)


def rows_of(found: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """One line each of the tables of ratios, of times, and of one reference."""
    alike, count, name = found["likeness"], found["sequences"], found["model"]
    modes = [best(found, f"ours, {p}, {how}, rescale") for p in PRECISIONS for how in ("eager", "compiled")]
    default = [
        best(found, f"ours, float32, {how}, genomics-default", f"ours, float32, {how}, rescale")
        for how in ("eager", "compiled")
    ]
    peer, peer16, bare = (best(found, who) for who in ("tangermeme, float32", "tangermeme, bfloat16", "bare"))
    full = [found["full rate"][precision] for precision in PRECISIONS]
    ratios = [f"{peer / seconds:.1f}" for seconds in (*modes, *default, peer16, bare, *full)]
    likenesses = [
        f"{alike['contributions']:.6f}", f"{alike['hypothetical']:.6f}",
        f"{alike['bfloat16, compiled, rescale']:.5f}",
    ]  # fmt: skip
    spread = max((max(times) - min(times)) / median(times) for times in found["seconds"].values())
    times = [f"{1000 * seconds / count:.1f}" for seconds in (*modes, *default, peer, bare, *full)]
    once, theirs = (best(found, f"one reference, {who}") for who in ("ours", "tangermeme"))
    one = [f"{1000 * seconds / count:.1f}" for seconds in (once, theirs)]
    return (
        [name, *ratios, *likenesses],
        [name, str(count), *times, f"{100 * spread:.0f} %"],
        [name, *one, f"{theirs / once:.1f}", f"{alike['one reference']:.6f}"],
    )


def report(found: list[dict[str, Any]], targets: list[list[str]], memory: list[list[str]]) -> str:
    """All tables, as markdown."""
    ratios, times, once = zip(*map(rows_of, found), strict=True)
    machine = f"{torch.get_num_threads()} threads of {_processor()}; torch {torch.__version__}"
    modes = "float32|float32 compiled|bfloat16|bfloat16 compiled|genomics-default|genomics-default compiled"
    limits = "|".join(f"full rate, {precision}" for precision in PRECISIONS)
    sizes = "|".join(f"{who}, {n} pairs" for n in PEAK_PAIRS for who in CONTENDERS)
    return "\n\n".join(
        [
            f"Measured on {machine}, {REFERENCES} references a sequence where no other number is given.",
            "### Times as fast as tangermeme in float32 at its best batch",
            "A mode with a number above 1 takes less time than tangermeme; the last three columns have the "
            "lowest correlation of a sequence.",
            table(
                f"model|{modes}|tangermeme bfloat16|bare model|{limits}|"
                "contributions, correlation with tangermeme|hypothetical|bfloat16 with float32",
                ratios,
            ),
            "### Milliseconds a sequence",
            "These are the times themselves; the largest spread is that of the repeats of a column, relative "
            "to their median.",
            table(f"model|sequences|{modes}|tangermeme|bare model|{limits}|largest spread", times),
            "### Milliseconds a sequence with one frequency reference",
            "All sequences share this reference, so that a sequence takes one forward pass and one backward "
            "pass.",
            table("model|ours|tangermeme|times as fast|hypothetical, correlation", once),
            "### Milliseconds a sequence and target, 5 references",
            "Targets of one run share their forward passes, so that each takes less time than a run of its "
            "own.",
            table("model|" + "|".join(f"of {count}" for count in TARGETS), targets),
            "### Peak memory of a batch, MiB",
            "A process takes this memory to record a model and score a batch; ours includes a copy of the "
            "weights, which is large for DeepSEA.",
            table(f"model|{sizes}", memory),
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
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keeps what was measured, also of earlier runs"
    )
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    known: dict[str, Any] = {}
    if given.json and given.json.exists():
        known = json.loads(given.json.read_text())
    for name in given.models or CASES:
        known[name] = measured(name, given.repeats)
        print(*rows_of(known[name]["speed"])[0], sep=" | ", flush=True)
        if given.json:
            given.json.write_text(json.dumps(known, indent=1))
    here = [known[name] for name in CASES if name in known]
    text = report(
        [item["speed"] for item in here],
        [item["targets"] for item in here if item["targets"]],
        [item["memory"] for item in here],
    )
    print(text)
    if given.markdown:
        insert(given.markdown, text)


def measured(name: str, repeats: int) -> dict[str, Any]:
    """All about one model."""
    targets = many_targets(name, repeats) if name in MANY_TARGETS else None
    return {"speed": measure(name, repeats), "memory": peaks(name, repeats), "targets": targets}


if __name__ == "__main__":
    main()
